//! Identities on disk: enrolling, renewing, locking, and what breaks them.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use super::*;
use crate::authority::Authority;
use crate::identity::CredentialMismatch;

const DAY: Duration = Duration::from_secs(86_400);

struct Scene {
    dir: tempfile::TempDir,
    authority: Authority,
    state: StateDir,
}

fn workspace() -> WorkspaceId {
    "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap()
}

fn other_workspace() -> WorkspaceId {
    "ws_01ARZ3NDEKTSV4RRFFQ69G5FAA".parse().unwrap()
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority =
            Authority::open_or_create(&dir.path().join("relay"), SystemTime::now()).unwrap();
        let state = StateDir::open(dir.path().join("connector")).unwrap();
        Self { dir, authority, state }
    }

    fn profile(&self, workspace: WorkspaceId) -> Profile {
        Profile {
            workspace,
            endpoints: vec!["relay.example:4433".to_owned()],
            ca: self.authority.fingerprint(),
            public_url: None,
            host_url: None,
            worked: None,
        }
    }

    fn sign(&self, csr: &[u8], workspace: WorkspaceId) -> Vec<CertificateDer<'static>> {
        self.authority.sign_agent(csr, &workspace, SystemTime::now()).unwrap().chain
    }

    fn enrol(&self, workspace: WorkspaceId) -> Identity {
        let key = self.state.pending_key(&workspace).unwrap();
        let chain = self.sign(&key.csr_der().unwrap(), workspace);
        self.state.save(&self.profile(workspace), key, chain).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.state.file(&workspace(), name)
    }
}

#[test]
fn an_enrolment_ends_in_an_identity_that_loads() {
    let scene = Scene::new();
    assert_eq!(scene.state.list().unwrap(), []);
    let missing = scene.state.load(&workspace()).unwrap_err();
    assert!(matches!(missing, IdentityError::Missing { .. }), "{missing}");

    scene.enrol(workspace());
    scene.enrol(other_workspace());
    assert_eq!(scene.state.list().unwrap(), [other_workspace(), workspace()]);
    let identity = scene.state.load(&workspace()).unwrap();
    assert_eq!(identity.profile(), scene.profile(workspace()));
    assert_eq!(identity.chain.len(), 2);
    assert!(!scene.path(PENDING).exists());
    for name in [PROFILE, CREDENTIAL] {
        let mode = std::fs::metadata(scene.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    for folder in [scene.state.path().to_owned(), scene.state.folder(&workspace())] {
        assert!(files::is_private(&folder).unwrap());
    }
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let scene = Scene::new();
    let first = scene.state.pending_key(&workspace()).unwrap();
    let again = scene.state.pending_key(&workspace()).unwrap();
    assert_eq!(first.key_hash(), again.key_hash());
    assert_eq!(scene.state.list().unwrap(), []);

    let used = scene.enrol(workspace());
    let next = scene.state.pending_key(&workspace()).unwrap();
    assert_ne!(next.key_hash(), first.key_hash());
    drop(used);
}

#[test]
fn a_pending_key_that_was_used_already_is_replaced() {
    let scene = Scene::new();
    let key = scene.state.pending_key(&workspace()).unwrap();
    let hash = key.key_hash();
    let left_behind = std::fs::read(scene.path(PENDING)).unwrap();
    let chain = scene.sign(&key.csr_der().unwrap(), workspace());
    scene.state.save(&scene.profile(workspace()), key, chain).unwrap();
    files::write_private(&scene.path(PENDING), &left_behind).unwrap();
    assert_ne!(scene.state.pending_key(&workspace()).unwrap().key_hash(), hash);
}

#[test]
fn a_renewal_replaces_key_and_certificate_together() {
    let scene = Scene::new();
    let old = scene.enrol(workspace());
    let renewal = scene.state.begin_renewal(&workspace()).unwrap();
    let csr = renewal.csr_der().unwrap();
    assert_eq!(scene.state.load(&workspace()).unwrap().chain, old.chain);

    // Endpoints that the relay announced meanwhile are not lost.
    let mut profile = old.profile();
    profile.endpoints.push("relay.example:443".to_owned());
    profile.public_url = Some("https://relay.example/agents/a_x/".to_owned());
    scene.state.save_profile(&profile).unwrap();

    let new = renewal.complete(scene.sign(&csr, workspace())).unwrap();
    assert_ne!(new.key.secret_der(), old.key.secret_der());
    assert_ne!(new.chain[0], old.chain[0]);
    assert_eq!(new.profile(), profile);
    let mut names: Vec<_> = std::fs::read_dir(scene.state.folder(&workspace()))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, [CREDENTIAL, PROFILE]);
}

#[test]
fn a_certificate_that_does_not_fit_changes_nothing() {
    let scene = Scene::new();
    let old = scene.enrol(workspace());
    let foreign = Authority::open_or_create(&scene.dir.path().join("x"), SystemTime::now());
    let begin = || scene.state.begin_renewal(&workspace()).unwrap();
    let other_key = KeyPair::generate().unwrap().csr_der().unwrap();
    let foreign = foreign.unwrap();

    let refusals = [
        begin().complete(vec![]),
        begin().complete(scene.sign(&other_key, workspace())),
        {
            let renewal = begin();
            let csr = renewal.csr_der().unwrap();
            renewal.complete(scene.sign(&csr, other_workspace()))
        },
        {
            let renewal = begin();
            let csr = renewal.csr_der().unwrap();
            let signed = foreign.sign_agent(&csr, &workspace(), SystemTime::now());
            renewal.complete(signed.unwrap().chain)
        },
    ];
    let [empty, key, named, authority] = refusals.map(|refusal| match refusal.unwrap_err() {
        IdentityError::Refused { why, .. } => why,
        other => panic!("{other}"),
    });
    assert_eq!(empty, CredentialMismatch::Empty);
    assert_eq!(key, CredentialMismatch::Key);
    assert_eq!(named, CredentialMismatch::Workspace { named: other_workspace() });
    assert_eq!(authority, CredentialMismatch::Authority { ca: scene.authority.fingerprint() });
    assert_eq!(scene.state.load(&workspace()).unwrap().chain, old.chain);
}

#[test]
fn a_second_connector_is_locked_out_until_the_first_ends() {
    let scene = Scene::new();
    let lock = scene.state.lock(&workspace()).unwrap();
    let error = scene.state.lock(&workspace()).unwrap_err();
    assert!(error.to_string().contains("Another connector is running"), "{error}");
    assert!(scene.state.lock(&other_workspace()).is_ok());
    drop(lock);
    assert!(scene.state.lock(&workspace()).is_ok());
    assert_eq!(scene.state.list().unwrap(), []);
}

#[test]
fn a_broken_file_is_named_and_left_alone() {
    let scene = Scene::new();
    scene.enrol(workspace());
    scene.state.pending_key(&workspace()).unwrap();
    for name in [PROFILE, CREDENTIAL, PENDING] {
        let path = scene.path(name);
        let whole = std::fs::read(&path).unwrap();
        for broken in [&b""[..], b"{}", &whole[..whole.len() / 2]] {
            std::fs::write(&path, broken).unwrap();
            let error = match name {
                PENDING => scene.state.pending_key(&workspace()).unwrap_err(),
                _ => scene.state.load(&workspace()).unwrap_err(),
            };
            assert!(matches!(error, IdentityError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), broken);
        }
        std::fs::write(&path, whole).unwrap();
    }
    scene.state.load(&workspace()).unwrap();
}

#[test]
fn a_later_version_and_a_stranger_s_folder_are_refused() {
    let scene = Scene::new();
    scene.enrol(workspace());
    let path = scene.path(PROFILE);
    let json = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    std::fs::write(&path, json.replace("\"version\": 1", "\"version\": 2")).unwrap();
    let error = scene.state.load(&workspace()).unwrap_err();
    assert!(matches!(error, IdentityError::NewerVersion { version: 2, .. }), "{error}");
    let stranger = json.replace(&workspace().to_string(), &other_workspace().to_string());
    std::fs::write(&path, stranger).unwrap();
    let error = scene.state.load(&workspace()).unwrap_err();
    assert!(matches!(error, IdentityError::Corrupt { .. }), "{error}");
}

#[test]
fn renewal_is_due_at_half_of_the_validity() {
    let scene = Scene::new();
    let identity = scene.enrol(workspace());
    let half =
        identity.not_before + identity.not_after.duration_since(identity.not_before).unwrap() / 2;
    assert!(!identity.needs_renewal(identity.not_before - DAY));
    assert!(!identity.needs_renewal(half - Duration::from_secs(1)));
    assert!(identity.needs_renewal(half));
    assert!(!identity.is_expired(identity.not_after));
    assert!(identity.is_expired(identity.not_after + Duration::from_secs(1)));
}

#[test]
fn a_token_that_is_forgotten_leaves_no_identity_and_no_obstacle() {
    let scene = Scene::new();
    let (token, profile) = (Secret::new("rtok_x".to_owned()), scene.profile(workspace()));
    scene.state.save_token(&profile, &token).unwrap();
    assert_eq!(scene.state.list().unwrap(), [workspace()]);
    scene.state.forget_token(&workspace()).unwrap();
    assert_eq!(scene.state.list().unwrap(), []);
    assert_eq!(scene.state.load_token(&workspace()).unwrap(), None);
    scene.state.forget_token(&workspace()).unwrap();
    scene.state.save_token(&profile, &token).unwrap();
    assert_eq!(scene.state.list().unwrap(), [workspace()]);
}

#[test]
fn sweeping_takes_what_was_left_half_written_in_one_folder() {
    let scene = Scene::new();
    let token = Secret::new("rtok_x".to_owned());
    scene.state.save_token(&scene.profile(workspace()), &token).unwrap();
    let left = scene.state.path().join(workspace().to_string()).join(".staged-a1B2c3");
    std::fs::write(&left, "half").unwrap();
    scene.state.sweep(&workspace()).unwrap();
    assert!(!left.exists());
    assert!(scene.state.load_token(&workspace()).unwrap().is_some());
}

#[test]
fn a_token_stands_in_for_an_identity_until_there_is_one() {
    let scene = Scene::new();
    let token = Secret::new("rtok_canary".to_owned());
    assert_eq!(scene.state.load_token(&workspace()).unwrap(), None);
    scene.state.save_token(&scene.profile(workspace()), &token).unwrap();
    assert_eq!(scene.state.list().unwrap(), [workspace()]);
    let mode = std::fs::metadata(scene.path(TOKEN)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = scene.state.load_token(&workspace()).unwrap();
    assert_eq!(kept, Some((scene.profile(workspace()), token)));
    assert!(!format!("{kept:?}").contains("canary"));

    files::write_private(&scene.path(TOKEN), b" \n").unwrap();
    let corrupt = scene.state.load_token(&workspace()).unwrap_err();
    assert!(matches!(corrupt, IdentityError::Corrupt { .. }), "{corrupt}");
    scene.enrol(workspace());
    assert_eq!(scene.state.load_token(&workspace()).unwrap(), None, "the certificate outweighs it");
    assert_eq!(scene.state.list().unwrap(), [workspace()]);
}
