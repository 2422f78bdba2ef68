/* Which addresses are somebody's on the Internet, and which are this machine, this network or
 * nobody's: a request that others may aim (a webhook) must not reach the latter. */
#include "net/client.h"

#include <netinet/in.h>
#include <string.h>

/* The registries' special-purpose blocks (RFC 6890 and what IANA added). */
static bool public_v4(uint32_t a)
{
	static const struct {
		uint32_t net;
		int bits;
	} special[] = {{0x00000000, 8}, {0x0A000000, 8}, {0x64400000, 10}, {0x7F000000, 8},
		{0xA9FE0000, 16}, {0xAC100000, 12}, {0xC0000000, 24}, {0xC0000200, 24},
		{0xC0586300, 24}, {0xC0A80000, 16}, {0xC6120000, 15}, {0xC6336400, 24},
		{0xCB007100, 24}, {0xE0000000, 4}, {0xF0000000, 4}};
	for (size_t i = 0; i < ARRAY_LEN(special); i++)
		if (((a ^ special[i].net) >> (32 - special[i].bits)) == 0)
			return false;
	return true;
}

static uint32_t v4_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool begins(const uint8_t *a, const uint8_t *net, int bits)
{
	int whole = bits / 8, rest = bits % 8;
	return !memcmp(a, net, (size_t)whole) &&
	       (!rest || ((a[whole] ^ net[whole]) >> (8 - rest)) == 0);
}

/* Forms that carry an IPv4 address count as that address; else only 2000::/3 is public, without
 * what is set aside in it. */
static bool public_v6(const uint8_t a[16])
{
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};
	static const uint8_t nat64[16] = {0x00, 0x64, 0xff, 0x9b};
	static const uint8_t six_to_four[16] = {0x20, 0x02};
	static const uint8_t global[16] = {0x20};
	static const struct {
		uint8_t net[16];
		int bits;
	} special[] = {{{0x20, 0x01}, 23}, {{0x20, 0x01, 0x0d, 0xb8}, 32}, {{0x3f, 0xff}, 20}};
	if (begins(a, mapped, 96) || begins(a, nat64, 96))
		return public_v4(v4_at(a + 12));
	if (begins(a, six_to_four, 16))
		return public_v4(v4_at(a + 2));
	for (size_t i = 0; i < ARRAY_LEN(special); i++)
		if (begins(a, special[i].net, special[i].bits))
			return false;
	return begins(a, global, 3);
}

bool client_address_public(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)a;
		return public_v4(ntohl(v4->sin_addr.s_addr));
	}
	if (a->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)a;
		return public_v6(v6->sin6_addr.s6_addr);
	}
	return false;
}

/* 169.254.0.0/16, and Alibaba's metadata service */
static bool link_local_v4(uint32_t a)
{
	return a >> 16 == 0xA9FE || a == 0x646464C8;
}

/* fe80::/10, and Amazon's metadata service. */
bool client_address_link_local(const struct sockaddr *a)
{
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff};
	static const uint8_t nat64[16] = {0x00, 0x64, 0xff, 0x9b};
	static const uint8_t local[16] = {0xfe, 0x80};
	static const uint8_t ec2[16] = {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54};
	if (a->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)a;
		return link_local_v4(ntohl(v4->sin_addr.s_addr));
	}
	if (a->sa_family == AF_INET6) {
		const uint8_t *v6 =
			((const struct sockaddr_in6 *)(const void *)a)->sin6_addr.s6_addr;
		if (begins(v6, mapped, 96) || begins(v6, nat64, 96))
			return link_local_v4(v4_at(v6 + 12));
		return begins(v6, local, 10) || begins(v6, ec2, 128);
	}
	return false;
}
