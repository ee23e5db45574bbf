//! The files of the repository, as git knows them, and the manifests among them.

use std::{path::PathBuf, process::Command};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file with this ending (or every file) that is tracked or about to be, from the root.
pub(crate) fn files(ending: &str) -> Vec<String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.current_dir(root()).output().expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).expect("paths in UTF-8");
    let found = list.split('\0').filter(|path| !path.is_empty() && root().join(path).is_file());
    let suffix = if ending.is_empty() { String::new() } else { format!(".{ending}") };
    found.filter(|path| path.ends_with(&suffix)).map(str::to_owned).collect()
}

/// The text of a file.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A crate's manifest, as far as its dependencies go.
pub(crate) struct Manifest(String);

impl Manifest {
    /// The manifest of the crate in this folder.
    pub(crate) fn of(folder: &str) -> Manifest {
        Manifest(read(&format!("{folder}/Cargo.toml")))
    }

    /// The crate's name.
    pub(crate) fn name(&self) -> &str {
        let name = self.0.lines().find_map(|line| line.strip_prefix("name = \""));
        name.and_then(|rest| rest.strip_suffix('"')).expect("a name")
    }

    /// Whether a section of dependencies of any kind names this crate.
    pub(crate) fn depends_on(&self, name: &str) -> bool {
        !self.line_of(name).is_empty()
    }

    /// The lines that name this dependency.
    pub(crate) fn line_of(&self, name: &str) -> String {
        let mut found = String::new();
        let mut section = "";
        for line in self.0.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line.trim_matches(['[', ']']);
                let own = section.rsplit_once("dependencies.").is_some_and(|(_, own)| own == name);
                found.push_str(if own { line } else { "" });
            }
            let key = line.split(['.', '=', ' ']).next();
            if section.ends_with("dependencies") && key == Some(name) {
                found.push_str(line);
            }
        }
        found
    }
}
