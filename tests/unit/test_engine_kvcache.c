/* The tree of blocks: what is known, who holds it, what goes when room is short. */
#include "tap.h"
#include "engine/kvcache.h"

#include <stdlib.h>

static struct errtext et;

enum { LONG = 512, MANY = 6 };

static struct kvcache *new_cache(uint32_t blocks)
{
	struct kvcache *c = NULL;
	CHECK_OK(kvcache_new(blocks, &c, &et), &et);
	return c;
}

static struct kvseq new_seq(uint64_t adapter, uint64_t realm)
{
	return (struct kvseq){
		.blocks = calloc(LONG / KV_BLOCK + 2, sizeof(uint32_t)), .kind = {adapter, realm}};
}

static void whole(const struct kvcache *c, const struct kvseq *const *s, size_t n)
{
	const char *wrong = kvcache_check(c, s, n);
	if (wrong)
		FAIL("%s", wrong);
}

/* Reads ids[0..n) as a request would, and ends. Returns what was known before. */
static uint32_t read_all(struct kvcache *c, const int32_t *ids, uint32_t n, uint64_t realm)
{
	struct kvseq s = new_seq(0, realm);
	struct kvcopy copy;
	kvcache_begin(c, &s, ids, n - 1, &copy);
	uint32_t known = s.n;
	CHECK(kvcache_grow(c, &s, n));
	s.n = n;
	kvcache_commit(c, &s, ids);
	const struct kvseq *one = &s;
	whole(c, &one, 1);
	kvcache_end(c, &s, ids);
	whole(c, NULL, 0);
	free(s.blocks);
	return known;
}

static void test_engine_kvcache__beginnings_are_known_to_the_token(void)
{
	struct kvcache *c = new_cache(32);
	int32_t a[LONG], b[LONG];
	for (int i = 0; i < LONG; i++)
		a[i] = b[i] = i * 7 % 1000;
	b[200] = -1;
	CHECK_INT(read_all(c, a, 300, 0), 0);
	CHECK_INT(read_all(c, a, 300, 0), 299); /* one is always read */
	CHECK_INT(read_all(c, a, 350, 0), 300);
	CHECK_INT(read_all(c, b, 300, 0), 200);
	CHECK_INT(read_all(c, b, 250, 0), 249);
	CHECK_INT(read_all(c, a, 64, 0), 63);
	CHECK_INT(read_all(c, a, 65, 0), 64);
	CHECK_INT(read_all(c, a, 300, 9), 0); /* another realm */
	CHECK_INT(kvcache_known(c, (struct kvkind){1, 0}, a, 300, NULL), 0);
	CHECK_INT(kvcache_known(c, (struct kvkind){0, 0}, a, 340, NULL), 340);
	kvcache_free(c);
}

static void test_engine_kvcache__a_copy_is_asked_for_inside_a_block(void)
{
	struct kvcache *c = new_cache(8);
	int32_t a[LONG] = {0};
	CHECK_INT(read_all(c, a, 100, 0), 0);
	struct kvseq s = new_seq(0, 0);
	struct kvcopy copy = {0};
	CHECK(kvcache_begin(c, &s, a, 90, &copy));
	CHECK_INT(s.n, 90);
	CHECK_INT(s.n_shared, 1);
	CHECK_INT(s.n_blocks, 2);
	CHECK_INT(copy.n, 90 - KV_BLOCK);
	CHECK_INT(copy.to, s.blocks[1]);
	CHECK(copy.from != copy.to && copy.from != s.blocks[0]);
	kvcache_end(c, &s, a);
	whole(c, NULL, 0);
	free(s.blocks);
	kvcache_free(c);
}

static void test_engine_kvcache__the_same_block_twice_becomes_one(void)
{
	struct kvcache *c = new_cache(8);
	int32_t a[LONG] = {0};
	struct kvseq s[2] = {new_seq(0, 0), new_seq(0, 0)};
	const struct kvseq *both[2] = {&s[0], &s[1]};
	struct kvcopy copy;
	for (int i = 0; i < 2; i++) {
		CHECK(!kvcache_begin(c, &s[i], a, 200, &copy));
		CHECK(kvcache_grow(c, &s[i], 200));
		s[i].n = 200;
	}
	CHECK_INT(kvcache_room(c), 0);
	kvcache_commit(c, &s[0], a);
	kvcache_commit(c, &s[1], a);
	whole(c, both, 2);
	CHECK_INT(kvcache_room(c), 3);
	for (int i = 0; i < 3; i++)
		CHECK_INT(s[0].blocks[i], s[1].blocks[i]);
	CHECK(s[0].blocks[3] != s[1].blocks[3]);
	kvcache_end(c, &s[0], a);
	kvcache_end(c, &s[1], a);
	whole(c, NULL, 0);
	CHECK_INT(kvcache_known_tokens(c), 200);
	free(s[0].blocks);
	free(s[1].blocks);
	kvcache_free(c);
}

static void test_engine_kvcache__the_longest_unused_goes_first_and_leaves_before_stems(void)
{
	struct kvcache *c = new_cache(6);
	int32_t a[LONG], b[LONG];
	for (int i = 0; i < LONG; i++)
		a[i] = i, b[i] = i < 128 ? i : -i;
	read_all(c, a, 256, 0); /* 4 blocks, of which b shares 2 */
	read_all(c, b, 256, 0);
	CHECK_INT(kvcache_room(c), 6);
	struct kvseq s = new_seq(0, 5);
	struct kvcopy copy;
	CHECK(!kvcache_begin(c, &s, a, 64, &copy));
	CHECK(kvcache_grow(c, &s, 64));
	CHECK_INT(kvcache_known(c, (struct kvkind){0}, a, 256, NULL), 192);
	CHECK_INT(kvcache_known(c, (struct kvkind){0}, b, 256, NULL), 256);
	CHECK(kvcache_grow(c, &s, 192));
	CHECK_INT(kvcache_known(c, (struct kvkind){0}, a, 256, NULL), 128);
	CHECK_INT(kvcache_known(c, (struct kvkind){0}, b, 256, NULL), 192);
	CHECK(!kvcache_grow(c, &s, LONG)); /* and nothing is lost by that */
	CHECK_INT(s.n_blocks, 3);
	CHECK_INT(kvcache_known(c, (struct kvkind){0}, b, 256, NULL), 192);
	CHECK(kvcache_grow(c, &s, 384));
	CHECK_INT(kvcache_known(c, (struct kvkind){0}, b, 256, NULL), 0);
	kvcache_end(c, &s, a);
	whole(c, NULL, 0);
	free(s.blocks);
	kvcache_free(c);
}

/* ---- at random, beside a plain array of everything that was read ---- */

struct reader {
	struct kvseq seq;
	int32_t ids[LONG];
	uint32_t n; /* of ids; 0: none */
};

static uint32_t state = 1;
static uint32_t draw(uint32_t below)
{
	state = state * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)state * below >> 32);
}

/* What block b holds of each position, as a cache of values would: checked whenever it is read. */
static int32_t held[64][KV_BLOCK];

static void write_tokens(struct reader *r, uint32_t from, uint32_t to)
{
	for (uint32_t p = from; p < to; p++)
		held[r->seq.blocks[p / KV_BLOCK]][p % KV_BLOCK] = r->ids[p];
}

static void check_tokens(const struct reader *r)
{
	for (uint32_t p = 0; p < r->seq.n; p++)
		if (held[r->seq.blocks[p / KV_BLOCK]][p % KV_BLOCK] != r->ids[p])
			FAIL("position %u of %u holds another token", p, r->seq.n);
}

static void begin(struct kvcache *c, struct reader *r)
{
	/* few tokens, so that beginnings are shared; long runs, so that whole blocks are */
	r->n = 2 + draw(LONG - 2);
	int32_t kind = (int32_t)draw(3), other = (int32_t)draw(3);
	uint32_t at = draw(LONG);
	for (uint32_t i = 0; i < r->n; i++)
		r->ids[i] = i < at ? kind : other;
	r->seq.kind.realm = draw(2);
	struct kvcopy copy;
	if (kvcache_begin(c, &r->seq, r->ids, r->n - 1, &copy))
		memcpy(held[copy.to], held[copy.from], sizeof held[0]);
	check_tokens(r);
}

static void test_engine_kvcache__nothing_is_ever_mistaken(void)
{
	struct kvcache *c = new_cache(20);
	struct reader r[MANY] = {0};
	const struct kvseq *seqs[MANY];
	for (int i = 0; i < MANY; i++) {
		r[i].seq = new_seq(0, 0);
		seqs[i] = &r[i].seq;
	}
	uint32_t ended = 0, refused = 0;
	for (int step = 0; step < 40000; step++) {
		struct reader *x = &r[draw(MANY)];
		struct kvseq *s = &x->seq;
		if (!x->n) {
			begin(c, x);
		} else if (s->n < x->n && draw(8)) {
			uint32_t before = s->n, n = 1 + draw(MIN(x->n - before, 100u));
			kvcache_catch_up(c, s, x->ids, x->n - 1);
			check_tokens(x);
			n = MIN(n, x->n - s->n);
			before = s->n;
			if (!kvcache_grow(c, s, before + n)) {
				refused++;
				n = 0;
			}
			write_tokens(x, before, before + n);
			s->n += n;
			kvcache_commit(c, s, x->ids);
			check_tokens(x);
		} else {
			kvcache_end(c, s, x->ids);
			x->n = 0;
			ended++;
		}
		if (step % 16 == 0)
			whole(c, seqs, MANY);
	}
	tap_note("%u sequences, %u times no room", ended, refused);
	CHECK(ended > 1000 && refused > 100);
	for (int i = 0; i < MANY; i++) {
		if (r[i].n)
			kvcache_end(c, &r[i].seq, r[i].ids);
		free(r[i].seq.blocks);
	}
	whole(c, NULL, 0);
	CHECK_INT(kvcache_room(c), 20);
	kvcache_free(c);
}

TESTS(T(test_engine_kvcache__beginnings_are_known_to_the_token),
	T(test_engine_kvcache__a_copy_is_asked_for_inside_a_block),
	T(test_engine_kvcache__the_same_block_twice_becomes_one),
	T(test_engine_kvcache__the_longest_unused_goes_first_and_leaves_before_stems),
	T(test_engine_kvcache__nothing_is_ever_mistaken))
