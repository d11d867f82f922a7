//! Who asks: session cookie or API key.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use cloister_appliance::{Caller, UserInfo};

use crate::problem::Problem;
use crate::state::AppState;

/// Name of the session cookie.
const COOKIE_NAME: &str = "cloister_session";

/// Header that unsafe requests of a session must carry.
pub(crate) const CSRF_HEADER: &str = "x-cloister-csrf";

/// Header in which a proxy names its client.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Longest token that is looked up; ours are far shorter.
const TOKEN_BYTES_MAX: usize = 512;

/// A request that has proved who it comes from.
pub(crate) struct Authenticated {
    pub(crate) caller: Caller,
    pub(crate) user: Option<UserInfo>,
    /// The session's CSRF value; empty with an API key.
    pub(crate) csrf: String,
    /// The session's token; `None` with an API key.
    pub(crate) token: Option<String>,
}

impl FromRequestParts<AppState> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let address = address(parts, state.behind_tls());
        match bearer(&parts.headers) {
            Some(key) => by_key(state, key?, address).await,
            None => by_session(state, parts, address).await,
        }
    }
}

async fn by_key(state: &AppState, key: String, address: String) -> Result<Authenticated, Problem> {
    let caller = state.run(move |appliance| appliance.authenticate_key(&key, &address)).await?;
    let user = caller.as_user().cloned();
    Ok(Authenticated { caller, user, csrf: String::new(), token: None })
}

async fn by_session(state: &AppState, parts: &Parts, address: String) -> Result<Authenticated, Problem> {
    let token = cookie(&parts.headers).ok_or_else(|| unauthenticated("sign in first"))?;
    let sought = token.clone();
    let found = state.run(move |appliance| appliance.authenticate_session(&sought, &address)).await?;
    let safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let sent = parts.headers.get(CSRF_HEADER).map(HeaderValue::as_bytes).unwrap_or_default();
    if !safe && !equal_in_constant_time(sent, found.csrf.as_bytes()) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "csrf", "the header x-cloister-csrf is missing or wrong"));
    }
    Ok(Authenticated { caller: found.caller, user: Some(found.user), csrf: found.csrf, token: Some(token) })
}

fn unauthenticated(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
}

/// Where the request comes from.
pub(crate) struct Address(pub(crate) String);

impl FromRequestParts<AppState> for Address {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Self::Rejection> {
        Ok(Self(address(parts, state.behind_tls())))
    }
}

/// The peer; behind a proxy of this machine, whom the proxy names.
fn address(parts: &Parts, behind_tls: bool) -> String {
    let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() else {
        return "unknown".to_owned();
    };
    let peer = peer.ip().to_canonical();
    let client = if behind_tls && peer.is_loopback() { forwarded(&parts.headers) } else { None };
    client.unwrap_or(peer).to_string()
}

/// The last entry of `X-Forwarded-For`: the one the nearest proxy added. Those before it are the client's own claims.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all(FORWARDED_FOR).iter().next_back()?.to_str().ok()?;
    let last = last.rsplit(',').next()?.trim();
    let address = last.parse().ok().or_else(|| last.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// The key of an `Authorization: Bearer` header; another scheme is refused rather than passed over.
fn bearer(headers: &HeaderMap) -> Option<Result<String, Problem>> {
    let value = headers.get(AUTHORIZATION)?;
    let key = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim())
        .filter(|key| !key.is_empty() && key.len() <= TOKEN_BYTES_MAX);
    Some(key.map(str::to_owned).ok_or_else(|| unauthenticated("the header authorization must be `Bearer KEY`")))
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == COOKIE_NAME && !value.is_empty() && value.len() <= TOKEN_BYTES_MAX)
        .map(|(_, value)| value.to_owned())
}

/// The `set-cookie` value that opens a session.
pub(crate) fn session_cookie(token: &str, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE_NAME}={token}; Path=/; HttpOnly; SameSite=Strict{secure}")
}

/// The `set-cookie` value that takes it away.
pub(crate) fn ended_cookie(secure: bool) -> String {
    session_cookie("", secure) + "; Max-Age=0"
}

/// Compares without telling by its time where the first difference is. The lengths are not secret.
fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    let differences = left.iter().zip(right).fold(0, |found, (left, right)| found | (left ^ right));
    left.len() == right.len() && !left.is_empty() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        [(axum::http::HeaderName::from_static(name), HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        assert_eq!(cookie(&headers("cookie", "a=b; cloister_session=abc; c=d")).as_deref(), Some("abc"));
        assert_eq!(cookie(&headers("cookie", "xcloister_session=abc")), None);
        assert_eq!(cookie(&headers("cookie", "cloister_session=")), None);
    }

    #[test]
    fn only_bearer_keys_are_taken() {
        let taken = |value| bearer(&headers("authorization", value));
        assert!(matches!(taken("Bearer abc"), Some(Ok(key)) if key == "abc"));
        assert!(matches!(taken("bearer  abc "), Some(Ok(key)) if key == "abc"));
        for refused in ["Basic abc", "Bearer ", "Bearer", "abc"] {
            assert!(matches!(taken(refused), Some(Err(_))), "{refused}");
        }
        assert!(bearer(&HeaderMap::new()).is_none());
    }

    #[test]
    fn a_proxy_of_this_machine_names_its_client_and_nobody_else_does() {
        let from = |peer: &str, forwarded: &[&'static str], behind_tls| {
            let mut request = axum::http::Request::new(());
            request
                .extensions_mut()
                .insert(ConnectInfo::<SocketAddr>(peer.parse().expect("the addresses below are well formed")));
            for value in forwarded {
                request.headers_mut().append(FORWARDED_FOR, HeaderValue::from_static(value));
            }
            address(&request.into_parts().0, behind_tls)
        };
        for (peer, forwarded, behind_tls, expected) in [
            ("127.0.0.1:5", &["10.0.0.7"][..], false, "127.0.0.1"),
            ("127.0.0.1:5", &["10.0.0.7"], true, "10.0.0.7"),
            ("[::1]:5", &["made up, 10.0.0.7"], true, "10.0.0.7"),
            ("[::ffff:127.0.0.1]:5", &["10.0.0.1", "10.0.0.2 , 2001:db8::1"], true, "2001:db8::1"),
            ("127.0.0.1:5", &["[2001:db8::1]:443"], true, "2001:db8::1"),
            ("127.0.0.1:5", &["10.0.0.7, "], true, "127.0.0.1"),
            ("127.0.0.1:5", &[], true, "127.0.0.1"),
            ("192.0.2.1:5", &["10.0.0.7"], true, "192.0.2.1"),
        ] {
            assert_eq!(from(peer, forwarded, behind_tls), expected, "{peer} {forwarded:?} {behind_tls}");
        }
    }

    #[test]
    fn comparison_needs_equal_and_non_empty_values() {
        assert!(equal_in_constant_time(b"abc", b"abc"));
        for (left, right) in [(&b"abc"[..], &b"abd"[..]), (b"ab", b"abc"), (b"", b""), (b"abc", b"")] {
            assert!(!equal_in_constant_time(left, right));
        }
    }
}
