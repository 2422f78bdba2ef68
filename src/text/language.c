/* Languages: stop words, stems by Snowball, and a guess which one a text is in.
 *
 * One table maps each stop word to the set of languages that have it. Keyword search leaves those
 * words out; the guess counts them, each hit weighing the less the more languages share the word.
 * A language is one row here; without a stop-word list it is stemmed but never guessed. */
#include "text/unicode_int.h"

#include <libstemmer.h>
#include <pthread.h>
#include <stdlib.h>
#include <unicode/uscript.h>
#include <unicode/uchar.h>

struct row {
	const char code[4];
	const char *snowball;
	const char *stop;    /* case-folded, separated by spaces */
	const char *letters; /* that it has and most of its neighbours have not */
};

static const struct row rows[] = {
	{"en", "english",
		"a about above after again against all also am an and any are aren't as at be "
		"because been "
		"before being below between both but by can can't cannot could couldn't did didn't "
		"do does "
		"doesn't doing don't down during each few for from further had has have haven't "
		"having he "
		"her here hers herself him himself his how i if in into is isn't it it's its "
		"itself just me "
		"more most my myself no nor not now of off on once only or other our ours "
		"ourselves out over "
		"own same she should so some such than that the their theirs them themselves then "
		"there "
		"these they this those through to too under until up very was wasn't we were "
		"weren't what "
		"when where which while who whom why will with won't would you your yours yourself",
		""},
	{"de", "german",
		"aber alle allem allen aller alles als also am an ander andere anderen anderer "
		"anderes auch "
		"auf aus bei beim bin bis bist da damit dann das dass daß dein deine dem den denn "
		"der des "
		"dessen dich die dies diese diesem diesen dieser dieses dir doch dort du durch ein "
		"eine einem "
		"einen einer eines er es etwas euch euer für fur gegen gewesen hab habe haben hat "
		"hatte "
		"hatten hier hin hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in ist "
		"jede jedem "
		"jeden jeder jedes kann kein keine können könnte machen man manche mein meine mich "
		"mir mit "
		"muss nach nicht nichts noch nun nur ob oder ohne sehr sein seine seinem seinen "
		"seiner sich "
		"sie sind so solche soll sollte sondern sonst über um und uns unser unter viel vom "
		"von vor "
		"wann war waren warum was weil welche welchem welchen welcher welches wenn wer "
		"werde werden "
		"wie wieder will wir wird wo wurde wurden während zu zum zur zwar zwischen",
		"äöüß"},
	{"es", "spanish",
		"a al algo algunas algunos ante antes aquel aquella aquellos así aunque cada como "
		"con contra "
		"cual cuáles cuál cuando cuándo cuanto cuántos de del desde donde dónde dos "
		"durante e el él "
		"ella ellas ellos en entre era eran es esa esas ese eso esos esta está están "
		"estaba este esto "
		"estos estas fue fueron ha había han hasta hay he la las le les lo los más me mi "
		"mientras muy "
		"no nos nosotros o os otra otras otro otros para pero poco por porque pues que qué "
		"quien "
		"quién quienes se sea según ser si sí sido sin sobre son su sus también tan tanto "
		"te tenía "
		"tiene tienen todo todos tras tu un una unas uno unos y ya yo",
		"ñ¿¡áíóú"},
	{"fr", "french",
		"a à afin ai ainsi alors après au aucun aussi autre autres aux avait avant avec "
		"avoir c car "
		"ce cela celle celui ces cet cette ceux chaque chez comme comment d dans de depuis "
		"des donc "
		"dont du elle elles en encore entre est et étaient était été être eu fait faire "
		"fut furent il "
		"ils j je jusqu l la là le les leur leurs lors lui m ma mais même mes moins mon n "
		"ne ni nos "
		"notre nous on ont or ou où par parce pas pendant peu peut plus pour pourquoi puis "
		"qu quand "
		"que quel quelle quelles quels qui quoi s sa sans se selon ses si soit son sont "
		"sous sur t ta "
		"tandis te tes ton tous tout toute toutes très tu un une vers vos votre vous y "
		"c'est d'un "
		"d'une qu'il qu'elle n'est l'on",
		"çèêàùœîôû"},
	{"it", "italian",
		"a abbiamo ad agli ai al alla alle allo altri altro anche ancora avere aveva c che "
		"chi ci "
		"come con contro cosa cui da dagli dai dal dalla dalle dallo degli dei del dell "
		"della delle "
		"dello di dopo dove due e è ed era erano essere fra fu già gli ha hanno ho i il in "
		"io l la le "
		"lei li lo loro lui ma mentre mi molto ne negli nei nel nella nelle nello no noi "
		"non nostro o "
		"ogni per perché però più poi prima proprio qual quale quali quando quanto quella "
		"quelle "
		"quelli quello questa queste questi questo se sei si sia sono sopra sotto sta "
		"stata stato su "
		"sua sue sugli sui sul sulla sulle suo suoi tra tu tutti tutto un una uno vi voi",
		"èàòùì"},
	{"nl", "dutch",
		"aan al alle als altijd andere ben bij daar dan dat de der deze die dit doch doen "
		"door dus "
		"een eens en er ge geen geweest haar had heb hebben heeft hem het hier hij hoe hun "
		"iemand "
		"iets ik in is ja je kan kon kunnen maar me meer men met mij mijn moet na naar "
		"niet niets nog "
		"nu of om omdat ons ook op over reeds te tegen toch toen tot tussen u uit uw van "
		"veel voor "
		"waarom waar want waren was wat we welke werd werden wezen wie wij wil worden "
		"wordt zal ze "
		"zei zelf zich zij zijn zo zonder zou",
		"ĳ"},
	{"sv", "swedish",
		"alla allt än att av bara blev bli blir de dem den denna deras dess dessa det "
		"detta dig din "
		"dina du där då efter ej eller en ett finns från för före genom ha hade han hans "
		"har hennes "
		"hon honom hos hur här i icke ingen inom inte jag ju kan kunde man med mellan men "
		"mer mig min "
		"mot mycket många ni nu när några något och om oss på samma sedan sig sin sina "
		"sitta skulle "
		"som så till under upp ut utan vad var vara varför varit vi vid vilka vilken "
		"vilket är år",
		"åäö"},
	{"da", "danish",
		"ad af alle alt anden at blev blive bliver da de dem den denne der deres det dette "
		"dig din "
		"disse dog du efter eller en end er et flere for fra få ham han hans har havde "
		"have hende "
		"hendes her hos hun hvad hvem hvis hvor hvordan hvornår i ikke ind ingen jeg jer "
		"kan kunne "
		"man mange med meget mellem men mig min mod nej noget nogle nok nu når og også om "
		"op os over "
		"på selv sig sin skal skulle som sådan til thi ud under uden var ved vi vil ville "
		"være været",
		"æøå"},
	{"no", "norwegian",
		"alle alt at av ble blir blitt bare begge da de dem den denne der dere deres det "
		"dette deg "
		"din disse du eller en enn er et ett etter for fordi fra få før ham han hans har "
		"hadde hans "
		"hele hennes her hos hun hva hvem hvilken hvis hvor hvordan hvorfor i ikke ingen "
		"inn ja jeg "
		"kan kom kunne man mange med meg mellom men mer min mot mye må nei noe noen nå når "
		"og også om "
		"opp oss over på så seg selv siden sin sine skal skulle slik som til ut uten var "
		"være vært "
		"ved vi vil ville ønsker å år",
		"æøå"},
	{"fi", "finnish",
		"ei eivät emme en et ette että ehkä hän hänen he heidän ja joka jotka joita jos "
		"jonka josta "
		"jossa jo joten kaikki kanssa kautta koska koko kuin kuinka kun kuten me meidän "
		"mikä miksi "
		"missä mitä milloin minä mukaan mukana muut mutta myös ne niiden niin niitä nyt "
		"näin nämä oli "
		"olisi olivat olla olleet ollut on ovat paljon se sekä sen siellä siitä sinä sitä "
		"ole sillä "
		"siihen tai tuo tämä tämän tässä tätä vaan vain vai vielä voi voidaan",
		"äö"},
	{"ru", "russian",
		"а без более бы был была были было быть в вам вас весь во вот все всех всего вы "
		"где да даже "
		"для до его ее её если есть еще ещё же за здесь и из или им их к как какая какие "
		"какой когда "
		"кто ли либо между меня мне может мы на над надо наш не него нее неё нет ни них но "
		"ну о об "
		"однако он она они оно от очень по под после потом потому почему при про с сам "
		"свою себя со "
		"так также такой там те тем то того тоже той только том тот ты у уже чего чей чем "
		"что чтобы "
		"эта эти это этого этой этом этот я",
		""},
	{"hu", "hungarian",
		"a abban ahhoz ahogy akik ami amely amelyek amelyet amikor annak arra azok az azt "
		"azután be "
		"csak de e egy egyes egyik egyéb el ez ezek ezen ezért ezt fel hanem hogy hogyan "
		"ha három "
		"is így illetve itt kell kellett ki közül között ki le lehet legyen lesz lett maga "
		"már még "
		"meg mely mert mi mikor mind mint mintegy minden most míg miért nagy nagyon nem "
		"nincs olyan "
		"ott össze pedig sem semmi sok szemben szerint szinte számára talán után úgy új "
		"vagy vagyis "
		"valamint van vannak volt voltak ő ők",
		"őűáéíóú"},
	{"ro", "romanian",
		"a acea aceasta această acest acesta acestea aceste acestei acestor acestui acolo "
		"acum ai aici "
		"al ale alt alte am ar are asupra atât au avea avut ca că care cât ce cel cele cei "
		"când cine "
		"cu cum cea da dacă dar de deci decât deja deoarece despre din dintre doar după ei "
		"el ele era "
		"este eu face fără fi fie fiind fost iar în între într îi își la le lor lui mai "
		"mult multe "
		"nici noi nu numai o ori până pe pentru peste prin s sa să sale sau se și si sub "
		"sunt sunt "
		"spre su toate tot toți un una unde unei unor unui va vor",
		"ăâîșțşţ"},
	{"tr", "turkish",
		"acaba ama ancak arasında aslında az bazı belki ben bile bir biri birkaç biz bu "
		"bunlar bunu "
		"bunun çok çünkü da daha de değil diye dolayı en gibi göre hangi hem hep hepsi her "
		"hiç için "
		"ile ilgili ise işte kadar kendi ki kim mı mi mu mü nasıl ne neden nerede nereye "
		"niçin niye o "
		"olan olarak oldu olduğu olması olup on onlar onun sonra şey şu tarafından tüm var "
		"ve veya ya "
		"yani yok zaman üzere",
		"ğışçöü"},
	{"pt", "portuguese",
		"a à ao aos apenas às até as com como contra da das de dela dele deles depois do "
		"dos durante "
		"e é ela elas ele eles em entre era eram essa esse esta está estão estava este eu "
		"foi foram "
		"há isso isto já lhe mais mas me mesmo meu minha muito na não nas nem no nos nós o "
		"onde os ou "
		"outra outro outros para pela pelas pelo pelos por porque qual quais quando quanto "
		"que quem "
		"se seja sem ser seu seus só sob sobre sua suas são também te tem têm tinha todo "
		"todos um uma "
		"umas uns você vocês",
		"ãõçê"},
	{"ar", "arabic", "", ""},
	{"ca", "catalan", "", ""},
	{"el", "greek", "", ""},
	{"eu", "basque", "", ""},
	{"ga", "irish", "", ""},
	{"hi", "hindi", "", ""},
	{"hy", "armenian", "", ""},
	{"id", "indonesian", "", ""},
	{"lt", "lithuanian", "", ""},
	{"ne", "nepali", "", ""},
	{"sr", "serbian", "", ""},
	{"ta", "tamil", "", ""},
	{"yi", "yiddish", "", ""},
};

enum { ROWS = ARRAY_LEN(rows), SLOTS = 8192 };

struct slot {
	const char *word;
	uint32_t n, langs; /* a bit for each row that has the word */
};

static struct slot slots[SLOTS];
static pthread_once_t slots_once = PTHREAD_ONCE_INIT;

static uint32_t hash(struct str s)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 16777619u;
	return h ^ h >> 15;
}

static struct slot *slot_of(struct str word)
{
	for (uint32_t i = hash(word);; i++) {
		struct slot *s = &slots[i % SLOTS];
		if (!s->word || (s->n == word.n && !memcmp(s->word, word.p, word.n)))
			return s;
	}
}

static void slots_fill(void)
{
	for (size_t r = 0; r < ROWS; r++) {
		struct str rest = str_c(rows[r].stop), word;
		while (str_next(&rest, ' ', &word)) {
			if (!word.n)
				continue;
			struct slot *s = slot_of(word);
			s->word = word.p;
			s->n = (uint32_t)word.n;
			s->langs |= 1u << r;
		}
	}
}

static uint32_t stop_langs(struct str folded)
{
	return slot_of(folded)->langs;
}

/* --- stems ---------------------------------------------------------------------------------- */

/* A thread's view of a language: a stemmer (they are not safe to share) and the stems of the words
 * it met last, since a text says the same words again and again. */
enum { CACHE = 2048, CACHED_WORD = 26 };

struct lang {
	uint32_t row;
	struct sb_stemmer *stemmer;
	struct cached {
		unsigned char n, stem_n;
		char word[CACHED_WORD + 1];
		char stem[CACHED_WORD + 1];
	} cache[CACHE];
};

static pthread_key_t langs_key;
static pthread_once_t langs_once = PTHREAD_ONCE_INIT;
static bool langs_ok;

struct langs {
	struct lang *of[ROWS];
};

static void langs_free(void *p)
{
	struct langs *l = p;
	for (size_t i = 0; i < ROWS; i++) {
		if (!l->of[i])
			continue;
		sb_stemmer_delete(l->of[i]->stemmer);
		free(l->of[i]);
	}
	free(l);
}

static void langs_start(void)
{
	langs_ok = pthread_key_create(&langs_key, langs_free) == 0;
}

/* ROWS: there is none. */
static size_t row_of(const char *code)
{
	size_t r = 0;
	if (!code || !code[0] || !code[1] || (code[2] && code[2] != '-' && code[2] != '_'))
		return ROWS;
	while (r < ROWS && ((code[0] | 32) != rows[r].code[0] || (code[1] | 32) != rows[r].code[1]))
		r++;
	return r;
}

bool unicode_stems(struct str language)
{
	char code[4] = {0};
	memcpy(code, language.p, MIN(language.n, (size_t)3));
	return row_of(code) < ROWS;
}

struct lang *lang_get(const char *code)
{
	size_t r = row_of(code);
	if (r == ROWS)
		return NULL;
	pthread_once(&slots_once, slots_fill);
	pthread_once(&langs_once, langs_start);
	struct langs *all = langs_ok ? pthread_getspecific(langs_key) : NULL;
	if (langs_ok && !all) {
		all = calloc(1, sizeof *all);
		if (all && pthread_setspecific(langs_key, all)) {
			free(all);
			all = NULL;
		}
	}
	if (!all)
		return NULL;
	struct lang *l = all->of[r];
	if (!l && (l = calloc(1, sizeof *l))) {
		l->row = (uint32_t)r;
		l->stemmer = sb_stemmer_new(rows[r].snowball, "UTF_8");
		if (!l->stemmer) {
			free(l);
			return NULL;
		}
		all->of[r] = l;
	}
	return l;
}

bool lang_is_stop(const struct lang *l, struct str folded)
{
	return stop_langs(folded) >> l->row & 1;
}

static struct str stem(struct lang *l, struct str word)
{
	const sb_symbol *p = sb_stemmer_stem(l->stemmer, (const sb_symbol *)word.p, (int)word.n);
	size_t n = p ? (size_t)sb_stemmer_length(l->stemmer) : 0;
	return n ? str_mk(p, n) : word; /* the Greek one leaves nothing of some words */
}

struct str lang_stem(struct lang *l, struct str folded, struct buf *scratch)
{
	if (folded.n > CACHED_WORD)
		return stem(l, folded);
	struct cached *c = &l->cache[hash(folded) % CACHE];
	if (c->n == folded.n && !memcmp(c->word, folded.p, folded.n))
		return str_mk(c->stem, c->stem_n);
	struct str s = stem(l, folded);
	if (s.n > CACHED_WORD)
		return s;
	memcpy(c->word, folded.p, folded.n);
	c->n = (unsigned char)folded.n;
	memcpy(c->stem, s.p, s.n);
	c->stem_n = (unsigned char)s.n;
	return str_mk(c->stem, c->stem_n);
}

/* --- which language ------------------------------------------------------------------------- */

struct guess {
	struct str s;
	struct buf folded;
	double score[ROWS];
	unsigned words;
};

static bool guess_word(void *ctx, uint32_t from, uint32_t to)
{
	struct guess *g = ctx;
	g->words++;
	if (to - from > 40)
		return true;
	buf_clear(&g->folded);
	struct str word = str_sub(g->s, from, to);
	if (unicode_nfkc_casefold(word, &g->folded))
		return true;
	uint32_t langs = stop_langs(buf_str(&g->folded));
	if (!langs)
		return true;
	double weight = 1.0 / __builtin_popcount(langs);
	if (word.n < 2)
		weight /= 10;
	for (uint32_t rest = langs; rest; rest &= rest - 1)
		g->score[__builtin_ctz(rest)] += weight;
	return true;
}

static void guess_letters(struct guess *g)
{
	for (size_t r = 0; r < ROWS; r++) {
		struct str letters = str_c(rows[r].letters);
		unsigned hits = 0;
		for (size_t i = 0; i < letters.n;) {
			uint32_t cp;
			size_t k = utf8_decode(str_sub(letters, i, letters.n), &cp);
			struct str one = str_sub(letters, i, i + k), rest = g->s;
			for (size_t at; hits < 64 && (at = str_find(rest, one)) != STR_NONE; hits++)
				rest = str_sub(rest, at + k, rest.n);
			i += k;
		}
		if (g->score[r] > 0)
			g->score[r] += 0.1 * MIN(hits, g->words / 8);
	}
}

const char *unicode_guess_language(struct str s)
{
	static const struct {
		UScriptCode script;
		const char *code;
	} by_script[] = {{USCRIPT_GREEK, "el"}, {USCRIPT_ARABIC, "ar"}, {USCRIPT_HEBREW, "he"},
		{USCRIPT_DEVANAGARI, "hi"}, {USCRIPT_THAI, "th"}, {USCRIPT_TAMIL, "ta"},
		{USCRIPT_ARMENIAN, "hy"}, {USCRIPT_HANGUL, "ko"}};
	enum { SAMPLE = 16384 };
	s = str_sub(s, 0, utf8_complete_prefix(str_sub(s, 0, SAMPLE)));
	unsigned letters = 0, latin = 0, cyrillic = 0, ukrainian = 0, han = 0, kana = 0;
	unsigned other[ARRAY_LEN(by_script)] = {0};
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < 0x80) {
			bool letter = (c | 32) >= 'a' && (c | 32) <= 'z';
			letters += letter;
			latin += letter;
			i++;
			continue;
		}
		uint32_t cp;
		i += utf8_decode(str_sub(s, i, s.n), &cp);
		if (!u_isalpha((UChar32)cp))
			continue;
		UErrorCode ue = U_ZERO_ERROR;
		UScriptCode script = uscript_getScript((UChar32)cp, &ue);
		letters++;
		latin += script == USCRIPT_LATIN;
		cyrillic += script == USCRIPT_CYRILLIC;
		ukrainian += cp == 0x456 || cp == 0x457 || cp == 0x454 || cp == 0x491;
		han += script == USCRIPT_HAN;
		kana += script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA;
		for (size_t k = 0; k < ARRAY_LEN(by_script); k++)
			other[k] += script == by_script[k].script;
	}
	if (letters < 2)
		return "";
	/* a character of these says about as much as three letters */
	if ((han + kana) * 3 > latin && han + kana > cyrillic && han + kana > other[7])
		return kana * 10 > han + kana ? "ja" : "zh";
	for (size_t k = 0; k < ARRAY_LEN(by_script); k++)
		if (other[k] * 2 > letters || (other[k] * 3 > latin && k == 7))
			return by_script[k].code;
	if (cyrillic * 2 > letters && ukrainian * 40 > cyrillic)
		return "uk";
	pthread_once(&slots_once, slots_fill);
	struct guess g = {.s = s};
	if (unicode_words(s, guess_word, &g)) {
		buf_free(&g.folded);
		return "";
	}
	buf_free(&g.folded);
	guess_letters(&g);
	size_t best = 0;
	double second = 0;
	for (size_t r = 1; r < ROWS; r++)
		if (g.score[r] > g.score[best])
			best = r;
	for (size_t r = 0; r < ROWS; r++)
		if (r != best && g.score[r] > second)
			second = g.score[r];
	/* two words of its own, or one in a short text; a clear lead; not mere names and numbers */
	double need = g.words < 12 ? 0.9 : MAX(1.4, 0.02 * g.words);
	return g.score[best] >= need && g.score[best] > second * 1.08 ? rows[best].code : "";
}
