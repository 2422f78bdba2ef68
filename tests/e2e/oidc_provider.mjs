// An issuer for tests/e2e/oidc.t: oidc-provider with a handful of people and clients; and, with
// HOSTILE=1, one of our own that makes tokens which must not be taken.
import http from 'node:http'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(process.env.NODE_ROOT + '/x.js')
const load = async (name) => import(pathToFileURL(require.resolve(name)).href)
const jose = await load('jose')
const port = Number(process.env.PORT)
const issuer = `http://127.0.0.1:${port}`
const croft = process.env.CROFT

async function key(alg, kid) {
  const options = { extractable: true, ...(alg === 'EdDSA' ? { crv: 'Ed25519' } : {}) }
  const pair = await jose.generateKeyPair(alg, options)
  return { pair, jwk: { ...(await jose.exportJWK(pair.privateKey)), kid, alg, use: 'sig' } }
}

const people = {
  ada: { name: 'Ada Lovelace', preferred_username: 'Ada', groups: ['admins'] },
  grace: { name: 'Grace Hopper', preferred_username: 'grace', groups: ['data-team', 'other'] },
  mallory: { name: 'Mallory', preferred_username: 'mallory', groups: ['strangers'] },
  local: { name: 'Not the local one', preferred_username: 'taken', groups: ['data-team'] },
}

async function real() {
  const { default: Provider } = await load('oidc-provider')
  const generation = process.env.GENERATION ?? '1'
  const keys = await Promise.all(['RS256', 'ES256', 'EdDSA'].map((alg) => key(alg, `${alg}-${generation}`)))
  const client = (name, alg) => ({
    client_id: name,
    client_secret: `secret-of-${name}-0123456789`,
    redirect_uris: [`${croft}/api/v1/oidc/${name}/callback`],
    post_logout_redirect_uris: [`${croft}/`],
    id_token_signed_response_alg: alg,
  })
  const provider = new Provider(issuer, {
    clients: [
      client('rs', 'RS256'),
      client('es', 'ES256'),
      { ...client('ed', 'EdDSA'), token_endpoint_auth_method: 'client_secret_post' },
      {
        client_id: 'ci-runner',
        client_secret: 'secret-of-ci-runner-0123456789',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
    jwks: { keys: keys.map((k) => k.jwk) },
    cookies: { keys: ['one', 'two'] },
    conformIdTokenClaims: false,
    claims: { profile: ['name', 'preferred_username'], groups: ['groups'] },
    scopes: ['openid', 'profile', 'groups', 'api'],
    pkce: { required: () => true },
    async findAccount(ctx, sub) {
      const person = people[sub]
      if (person && process.env.GROUPS_OF_GRACE && sub === 'grace') person.groups = process.env.GROUPS_OF_GRACE.split(',')
      return person && { accountId: sub, claims: async () => ({ sub, ...person }) }
    },
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: 'api', audience: resource.slice('urn:'.length), accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  })
  return provider.callback()
}

async function hostile() {
  const good = await key('RS256', 'good')
  const other = await key('RS256', 'good') // the same name, another key
  const ec = await key('ES256', 'ec')
  const pub = async (k) => ({ ...(await jose.exportJWK(k.pair.publicKey)), kid: k.jwk.kid })
  const jwks = { keys: [await pub(good), await pub(ec)] }
  const nonces = {}
  let log = []
  const b64 = (v) => Buffer.from(typeof v === 'string' ? v : JSON.stringify(v)).toString('base64url')
  const now = () => Math.floor(Date.now() / 1000)

  async function token(mode, nonce) {
    const claims = { iss: issuer, sub: 'ada', aud: 'evil', nonce, iat: now(), exp: now() + 300, groups: ['admins'] }
    const edits = {
      wrong_iss: { iss: 'http://127.0.0.1:1' }, wrong_aud: { aud: 'somebody-else' }, two_aud: { aud: ['evil', 'b'] },
      wrong_azp: { azp: 'b' }, expired: { exp: now() - 3600 }, future: { iat: now() + 3600 }, early: { nbf: now() + 3600 },
      wrong_nonce: { nonce: 'x' }, no_nonce: { nonce: undefined }, no_exp: { exp: undefined }, no_sub: { sub: undefined },
    }
    Object.assign(claims, edits[mode])
    const header = { alg: 'RS256', kid: 'good' }
    if (mode === 'none') return `${b64({ alg: 'none' })}.${b64(claims)}.`
    if (mode === 'hs256') {
      const secret = await jose.exportSPKI(good.pair.publicKey)
      return new jose.SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: 'good' }).sign(Buffer.from(secret))
    }
    if (mode === 'wrong_key') return new jose.SignJWT(claims).setProtectedHeader(header).sign(other.pair.privateKey)
    if (mode === 'own_jwk')
      return new jose.SignJWT(claims).setProtectedHeader({ alg: 'RS256', jwk: await pub(other) }).sign(other.pair.privateKey)
    if (mode === 'unknown_kid')
      return new jose.SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'none' }).sign(good.pair.privateKey)
    const t = await new jose.SignJWT(claims).setProtectedHeader(header).sign(good.pair.privateKey)
    if (mode === 'changed') {
      const [h, c, s] = t.split('.')
      return `${h}.${b64({ ...claims, sub: 'root' })}.${s}`
    }
    if (mode === 'alg_swap') return `${b64({ alg: 'ES256', kid: 'ec' })}.${t.split('.')[1]}.${t.split('.')[2]}`
    return t
  }

  return async (rq, rs) => {
    const url = new URL(rq.url, issuer)
    const json = (v) => { rs.setHeader('content-type', 'application/json'); rs.end(JSON.stringify(v)) }
    log.push(url.pathname)
    if (url.pathname === '/.well-known/openid-configuration') {
      json({
        issuer, authorization_endpoint: issuer + '/auth', token_endpoint: issuer + '/token', jwks_uri: issuer + '/jwks',
        userinfo_endpoint: issuer + '/userinfo',
      })
    } else if (url.pathname === '/jwks') json(jwks)
    else if (url.pathname === '/log') { json(log); log = [] }
    else if (url.pathname === '/expect') { nonces[url.searchParams.get('mode')] = url.searchParams.get('nonce'); rs.end('ok') }
    else if (url.pathname === '/token') {
      let body = ''
      for await (const part of rq) body += part
      const mode = new URLSearchParams(body).get('code')
      if (mode === 'redirect') { rs.statusCode = 307; rs.setHeader('location', issuer + '/stolen'); rs.end(); return }
      if (mode === 'rubbish') { rs.end('<html>'); return }
      if (mode === 'huge') { rs.end('x'.repeat(1 << 20)); return }
      if (mode === 'empty') { json({}); return }
      json({ id_token: await token(mode, nonces[mode]), access_token: 'a', token_type: 'Bearer' })
    } else { rs.statusCode = 404; rs.end() }
  }
}

const handler = process.env.HOSTILE ? await hostile() : await real()
http.createServer(handler).listen(port, '127.0.0.1', () => console.log('ready'))
