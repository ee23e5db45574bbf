//! What the authority signs, and how it keeps its files.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, UNIX_EPOCH};

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::*;
use crate::agent::AgentIdentity;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn workspace() -> WorkspaceId {
    "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap()
}

fn parse(der: &[u8]) -> X509Certificate<'_> {
    X509Certificate::from_der(der).unwrap().1
}

fn seconds(moment: SystemTime) -> i64 {
    moment.duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

#[test]
fn the_authority_is_made_once_and_then_kept() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let first = Authority::open_or_create(&state, now()).unwrap();
    let files = [state.join("ca.key"), state.join("ca.pem")];
    let before = files.each_ref().map(|path| std::fs::read(path).unwrap());
    let second = Authority::open_or_create(&state, now() + DAY * 400).unwrap();
    assert_eq!(first.fingerprint(), second.fingerprint());
    assert_eq!(before, files.each_ref().map(|path| std::fs::read(path).unwrap()));
    for path in files {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 2);

    let certificate = parse(first.certificate());
    let constraints = certificate.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && !usage.value.digital_signature());
    let not_after = certificate.validity().not_after.timestamp();
    assert_eq!(not_after, seconds(now() + DAY * 3650));

    // What the reopened authority signs is signed by the certificate of the first.
    let chain = second.relay_identity(now()).unwrap().chain;
    let issuer = certificate.public_key();
    parse(&chain[0]).verify_signature(Some(issuer)).unwrap();
}

#[test]
fn half_an_authority_is_reported_and_left_alone() {
    for (kept, lost) in [("ca.key", "ca.pem"), ("ca.pem", "ca.key")] {
        let dir = tempfile::tempdir().unwrap();
        Authority::open_or_create(dir.path(), now()).unwrap();
        std::fs::remove_file(dir.path().join(lost)).unwrap();
        // A key's file of earlier days is the key alone.
        let text = std::fs::read_to_string(dir.path().join(kept)).unwrap();
        if let Some((key, _copy)) =
            text.split_once("-----BEGIN CERTIFICATE").filter(|_| kept == "ca.key")
        {
            std::fs::write(dir.path().join(kept), key).unwrap();
        }
        let before = std::fs::read(dir.path().join(kept)).unwrap();
        let error = Authority::open_or_create(dir.path(), now()).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, AuthorityError::HalfPresent { .. }));
        assert!(text.contains(dir.path().join(kept).to_str().unwrap()), "{text}");
        assert!(text.contains(dir.path().join(lost).to_str().unwrap()), "{text}");
        assert_eq!(std::fs::read(dir.path().join(kept)).unwrap(), before);
        assert!(!dir.path().join(lost).exists());
    }
}

#[test]
fn a_first_start_that_ended_between_the_two_files_is_carried_on() {
    let dir = tempfile::tempdir().unwrap();
    let fingerprint = Authority::open_or_create(dir.path(), now()).unwrap().fingerprint();
    let path = dir.path().join("ca.pem");
    let before = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let later = Authority::open_or_create(dir.path(), now() + DAY).unwrap();
    assert_eq!(later.fingerprint(), fingerprint);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_broken_file_is_named_and_left_alone() {
    for name in ["ca.key", "ca.pem"] {
        let dir = tempfile::tempdir().unwrap();
        Authority::open_or_create(dir.path(), now()).unwrap();
        let path = dir.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for broken in [&b""[..], b"garbage", &whole[..100]] {
            std::fs::write(&path, broken).unwrap();
            let error = Authority::open_or_create(dir.path(), now()).unwrap_err();
            assert!(
                matches!(&error, AuthorityError::Corrupt { path: named, .. } if *named == path),
                "{error}"
            );
            assert_eq!(std::fs::read(&path).unwrap(), broken);
        }
    }
}

#[test]
fn an_operator_s_own_files_must_belong_together_and_sign() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    Authority::open_or_create(one.path(), now()).unwrap();
    let other = Authority::open_or_create(two.path(), now()).unwrap();
    std::fs::copy(two.path().join("ca.key"), one.path().join("ca.key")).unwrap();
    let error = Authority::open_or_create(one.path(), now()).unwrap_err();
    assert!(matches!(error, AuthorityError::Mismatch { .. }), "{error}");

    let relay = other.relay_identity(now()).unwrap();
    let key = pem::block("PRIVATE KEY", relay.key.secret_der());
    std::fs::write(one.path().join("ca.key"), key).unwrap();
    let certificate = pem::block("CERTIFICATE", &relay.chain[0]);
    std::fs::write(one.path().join("ca.pem"), certificate).unwrap();
    let error = Authority::open_or_create(one.path(), now()).unwrap_err();
    assert!(error.to_string().contains("not that of a certificate authority"), "{error}");
}

#[test]
fn the_relay_s_certificate_serves_only() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_or_create(dir.path(), now()).unwrap();
    let relay = authority.relay_identity(now()).unwrap();
    assert_eq!(relay.chain[1], *authority.certificate());
    let certificate = parse(&relay.chain[0]);
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
    assert!(!certificate.is_ca());
    assert_eq!(certificate.validity().not_before.timestamp(), seconds(now() - DAY));
    assert_eq!(certificate.validity().not_after.timestamp(), seconds(now() + DAY * 365));
    assert!(AgentIdentity::from_certificate(&relay.chain[0]).is_err());
    let again = authority.relay_identity(now()).unwrap();
    assert_ne!(parse(&again.chain[0]).raw_serial(), certificate.raw_serial());
    assert!(certificate.raw_serial().len() >= 12);
}

#[test]
fn an_agent_s_certificate_names_its_workspace_and_takes_only_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_or_create(dir.path(), now()).unwrap();
    let key = KeyPair::generate().unwrap().into_signer();
    let mut greedy = CertificateParams::new(vec![RELAY_NAME.to_owned()]).unwrap();
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    greedy.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let csr = greedy.serialize_request(&key).unwrap();

    let moment = now() + Duration::from_millis(750);
    let signed = authority.sign_agent(csr.der(), &workspace(), moment).unwrap();
    let agent = AgentIdentity::from_certificate(&signed.chain[0]).unwrap();
    assert_eq!(agent.workspace, workspace());
    assert_eq!(agent.key_hash, KeyHash::of(&key.subject_public_key_info()));
    assert_eq!(agent.key_hash, signed.key_hash);
    assert_eq!(agent.not_before, now() - HOUR);
    assert_eq!(agent.not_after, now() + DAY * 30);
    assert_eq!(agent.not_after, signed.not_after);

    let certificate = parse(&signed.chain[0]);
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign());
    assert!(!certificate.is_ca());
    certificate.verify_signature(Some(parse(authority.certificate()).public_key())).unwrap();
}

#[test]
fn a_clock_beyond_all_certificates_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_or_create(dir.path(), now()).unwrap();
    let far = UNIX_EPOCH + DAY * 3_650_000;
    assert!(matches!(authority.relay_identity(far), Err(SignError::Clock)));
}
