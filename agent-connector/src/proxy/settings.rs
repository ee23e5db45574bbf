//! Which proxy stands before which endpoint: from the owner's flags, and from the usual variables.

use std::path::Path;
use std::sync::Arc;

use http::Uri;
use http::uri::Authority;
use hyper_util::client::proxy::matcher::Matcher;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Proxy, Speech};

/// Where a proxy is named if the owner names none, the first that is not empty.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// Where the hosts are named that are dialled directly.
const DIRECT: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// SOCKS5 takes no longer user or password (RFC 1929, 2), bytes; HTTP is held to the same.
const LOGIN_BYTES_MAX: usize = 255;
/// `--proxy off`: none, whatever the variables say.
const OFF: &str = "off";

/// What the owner says of proxies.
#[derive(Debug, Default)]
pub(crate) struct ProxyWishes<'w> {
    /// A URL, or `off`. It holds no password.
    pub(crate) url: Option<&'w str>,
    /// Holds the password.
    pub(crate) password_file: Option<&'w Path>,
    /// Whom to trust besides the system's authorities, in PEM.
    pub(crate) ca: Option<&'w Path>,
}

/// The proxy, who needs none, and who may vouch for it.
#[derive(Clone)]
pub struct Proxies {
    matcher: Arc<Matcher>,
    authorities: Vec<CertificateDer<'static>>,
}

impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Proxies").field(&self.matcher).finish()
    }
}

impl Proxies {
    /// Reads what the owner says, and else what `variable` holds; `None` where nobody names a proxy. An
    /// error is a sentence that holds no password.
    pub(crate) fn read(
        wishes: &ProxyWishes<'_>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, String> {
        let set = |name: &&str| variable(name).filter(|value| !value.trim().is_empty());
        let flag = wishes.url.filter(|url| !url.trim().is_empty());
        let named = match flag {
            Some(OFF) => return Ok(None),
            Some(url) => Some(("--proxy", url.to_owned())),
            None => VARIABLES.iter().find_map(|name| Some((*name, set(name)?))),
        };
        let Some((source, url)) = named else { return Ok(None) };
        let url = url.trim();
        let login = Login::of(url);
        if flag.is_some() && login.has_password() {
            return Err(
                "`--proxy` holds a password, which everybody on this machine may read there; \
                 put it into a file (`--proxy-password-file`), or the whole URL into HTTPS_PROXY."
                    .into(),
            );
        }
        let url = match wishes.password_file {
            Some(path) => login.with_password(source, &read_password(path)?)?,
            None => url.to_owned(),
        };
        refuse_unusable(source, &url)?;
        let no = DIRECT.iter().find_map(set).unwrap_or_default();
        let authorities = wishes.ca.map(read_authorities).transpose()?.unwrap_or_default();
        let matcher = Matcher::builder().all(url).no(no).build();
        Ok(Some(Self { matcher: Arc::new(matcher), authorities }))
    }

    /// The proxy that stands before `endpoint` (`host:port`), if one does.
    pub(crate) fn before(&self, endpoint: &str) -> Option<Proxy<'_>> {
        let uri: Uri = format!("https://{endpoint}/").parse().ok()?;
        Some(Proxy { told: self, intercept: self.matcher.intercept(&uri)? })
    }

    /// Who may vouch for the proxy besides those whom the system trusts.
    pub(crate) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }
}

/// A URL around what stands before its `@`.
struct Login<'u> {
    scheme: &'u str,
    user: Option<&'u str>,
    rest: &'u str,
}

impl<'u> Login<'u> {
    fn of(url: &'u str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let authority = rest.split('/').next().unwrap_or_default();
        match authority.rsplit_once('@') {
            Some((user, _)) => Self {
                scheme,
                user: Some(user),
                rest: rest.get(user.len() + 1..).unwrap_or_default(),
            },
            None => Self { scheme, user: None, rest },
        }
    }

    fn has_password(&self) -> bool {
        self.user.is_some_and(|user| user.contains(':'))
    }

    fn with_password(&self, source: &str, password: &str) -> Result<String, String> {
        let Some(user) = self.user.filter(|user| !user.is_empty()) else {
            return Err(format!(
                "`--proxy-password-file` holds a password for nobody: the URL in {source} names no \
                 user; write it as in http://user@proxy:3128."
            ));
        };
        let user = user.split(':').next().unwrap_or_default();
        let password = utf8_percent_encode(password, NON_ALPHANUMERIC);
        Ok(format!("{}://{user}:{password}@{}", self.scheme, self.rest))
    }
}

/// Whether a proxy can be made out in `url`; the sentence does not repeat it.
fn refuse_unusable(source: &str, url: &str) -> Result<(), String> {
    let expected = "write it as in http://proxy:3128, https://proxy:3128 or socks5://proxy:1080";
    let login = Login::of(url);
    if Speech::of(login.scheme).is_none() {
        return Err(format!(
            "The proxy in {source} is neither of HTTP nor of SOCKS5, and no other is spoken; {expected}."
        ));
    }
    // What stands behind a slash may be the end of a password that was not percent-encoded.
    let path = login.rest.split_once('/').map_or("", |(_, path)| path);
    let alone = Matcher::builder().all(url).build();
    let usable = alone.intercept(&Uri::from_static("https://relay.invalid/"));
    let usable = usable.filter(|intercept| {
        let fits = |text: &str| text.len() <= LOGIN_BYTES_MAX;
        let login =
            intercept.raw_auth().is_none_or(|(user, password)| fits(user) && fits(password));
        login && path.is_empty() && intercept.uri().authority().is_some_and(is_reachable)
    });
    match usable {
        Some(_) => Ok(()),
        None => Err(format!(
            "What {source} says is no proxy's URL (user and password percent-encoded, at most \
             {LOGIN_BYTES_MAX} bytes each); {expected}."
        )),
    }
}

/// A host, and no port or one that a proxy can have.
fn is_reachable(authority: &Authority) -> bool {
    let port = match authority.port_u16() {
        Some(port) => port != 0,
        None => authority.as_str().len() == authority.host().len(),
    };
    port && !authority.host().is_empty()
}

fn read_password(path: &Path) -> Result<String, String> {
    let bytes = certs::files::read_private(path).map_err(|error| format!("{error}."))?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() > LOGIN_BYTES_MAX {
        return Err(format!(
            "The file {} holds no password of a proxy: one line of at most {LOGIN_BYTES_MAX} bytes.",
            path.display()
        ));
    }
    Ok(password.to_owned())
}

fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unusable = |why: &dyn std::fmt::Display| {
        format!(
            "`--proxy-ca {}` holds no certificates in PEM ({why}); copy it again.",
            path.display()
        )
    };
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))?.collect();
    let found = found.map_err(|error| unusable(&error))?;
    if found.is_empty() { Err(unusable(&"none is there")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(url: Option<&str>, set: &[(&str, &str)]) -> Result<Option<Proxies>, String> {
        let variable = |name: &str| {
            set.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        };
        Proxies::read(&ProxyWishes { url, ..ProxyWishes::default() }, variable)
    }

    fn before(proxies: &Proxies, endpoint: &str) -> Option<String> {
        proxies.before(endpoint).map(|proxy| proxy.name())
    }

    #[test]
    fn a_flag_outweighs_the_variables_and_these_each_other_in_their_order() {
        let all = ("all_proxy", "socks5://a:1");
        let https = ("HTTPS_PROXY", "https://h");
        for (url, set, proxy) in [
            (None, &[][..], None),
            (None, &[("HTTPS_PROXY", " "), all], Some("a:1")),
            (None, &[all, https], Some("h:443")),
            (Some("proxy:3128"), &[all, https], Some("proxy:3128")),
            (Some("socks5h://[::1]"), &[], Some("[::1]:1080")),
            (Some("http://proxy/"), &[], Some("proxy:80")),
            (Some(OFF), &[all, https], None),
            (Some(""), &[all], Some("a:1")),
        ] {
            let proxies = read(url, set).unwrap();
            let found = proxies.and_then(|proxies| before(&proxies, "relay.example:4433"));
            assert_eq!(found.as_deref(), proxy, "{url:?} {set:?}");
        }
    }

    #[test]
    fn hosts_that_no_proxy_names_are_dialled_directly() {
        let no = ("NO_PROXY", "example.com, 192.0.2.0/24,::1");
        let proxies = read(Some("http://proxy:1"), &[no]).unwrap().unwrap();
        for (endpoint, direct) in [
            ("example.com:443", true),
            ("relay.example.com:4433", true),
            ("notexample.com:443", false),
            ("192.0.2.9:4433", true),
            ("198.51.100.1:4433", false),
            ("[::1]:4433", true),
            ("[2001:db8::1]:4433", false),
        ] {
            assert_eq!(before(&proxies, endpoint).is_none(), direct, "{endpoint}");
        }
        let all = read(Some("http://proxy:1"), &[("no_proxy", "*")]).unwrap().unwrap();
        assert_eq!(before(&all, "relay.example:1"), None);
    }

    #[test]
    fn what_is_no_proxy_is_refused_in_words_that_repeat_nothing_of_it() {
        for (url, set, word) in [
            (Some("http://user:canary@proxy:1"), &[][..], "--proxy-password-file"),
            (Some("socks4://proxy:1"), &[], "neither"),
            (Some("ftp://canary"), &[], "neither"),
            (Some("http://pro xy"), &[], "no proxy's URL"),
            (Some("http://"), &[], "no proxy's URL"),
            (Some("http://user:12/canary@proxy:1"), &[], "no proxy's URL"),
            (None, &[("ALL_PROXY", "gopher://user:canary@proxy")], "ALL_PROXY"),
            (None, &[("HTTPS_PROXY", "http://user:canary@proxy:port")], "HTTPS_PROXY"),
        ] {
            let sentence = read(url, set).unwrap_err();
            assert!(sentence.contains(word) && !sentence.contains("canary"), "{sentence}");
        }
        let long = format!("socks5://user:{}@proxy", "x".repeat(256));
        assert!(read(None, &[("ALL_PROXY", &long)]).is_err());
    }

    #[test]
    fn a_password_comes_from_a_private_file_or_a_variable_and_prints_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "can@ry:/%\n").unwrap();
        let with_file = |url| {
            let wishes = ProxyWishes { url: Some(url), password_file: Some(&file), ca: None };
            Proxies::read(&wishes, |_| None)
        };
        assert!(with_file("socks5://user@proxy").unwrap_err().contains("chmod"));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let proxies = with_file("socks5://us%20er@proxy").unwrap().unwrap();
        let proxy = proxies.before("relay:1").unwrap();
        assert_eq!(proxy.intercept.raw_auth(), Some(("us er", "can@ry:/%")));
        assert!(!format!("{proxies:?}").contains("can"));
        assert!(with_file("http://proxy").unwrap_err().contains("names no user"));

        let set = [("HTTPS_PROXY", "http://user:canary@proxy")];
        let proxies = read(None, &set).unwrap().unwrap();
        let basic = proxies.before("relay:1").unwrap().intercept.basic_auth().unwrap().clone();
        assert_eq!(basic, "Basic dXNlcjpjYW5hcnk=");
        assert!(!format!("{proxies:?} {basic:?}").contains("canary"));
    }
}
