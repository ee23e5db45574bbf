//! The official SDKs, each line in a folder of its own beside the built binaries, installed once.
//!
//! Where one cannot be installed, for want of Python, of Node.js or of the packages, the stories that
//! need it say so and are skipped; with `HARNESS_REQUIRE_SDK` set, which CI does, they fail instead.

use crate::binaries;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// An SDK, of the line of A2A that it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// Python's, current: it speaks 1.0, and 0.3 by a layer of its own.
    Python,
    /// Python's of the 0.3 line.
    Python03,
    /// JavaScript's, current.
    Js,
    /// JavaScript's of the 0.3 line.
    Js03,
}

impl Sdk {
    /// What runs its scripts; `None`, having said why, where it is not there.
    pub async fn interpreter(self) -> Option<PathBuf> {
        let made = tokio::task::spawn_blocking(move || self.installed()).await;
        match made.expect("installing does not panic") {
            Ok(program) => Some(program),
            Err(why) => {
                let required = std::env::var_os("HARNESS_REQUIRE_SDK").is_some();
                assert!(!required, "the A2A SDKs are required here: {why}");
                eprintln!("SKIPPED: no A2A SDK, {self:?} ({why})");
                None
            }
        }
    }

    /// Where its client and its agent are, as they are installed: an ES module finds its packages
    /// beside itself only.
    pub(super) fn script(self, name: &str) -> PathBuf {
        match self {
            Sdk::Python | Sdk::Python03 => sources("python").join(name),
            Sdk::Js | Sdk::Js03 => js_home().join(name),
        }
    }

    fn installed(self) -> Result<PathBuf, String> {
        static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        static PYTHON_03: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        static JS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let made = match self {
            Sdk::Python => PYTHON.get_or_init(|| venv("a2a-sdk", "requirements.txt")),
            Sdk::Python03 => PYTHON_03.get_or_init(|| venv("a2a-sdk-03", "requirements-03.txt")),
            Sdk::Js | Sdk::Js03 => JS.get_or_init(node_modules),
        };
        made.clone()
    }
}

fn sources(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

/// A virtual environment with these requirements, or the one of an earlier run.
fn venv(folder: &str, requirements: &str) -> Result<PathBuf, String> {
    let requirements = sources("python").join(requirements);
    let home = binaries::folder().join(folder);
    let python = home.join("bin/python");
    once(&home, &read(&requirements)?, || {
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
        succeed(pip.arg(&requirements))
    })?;
    Ok(python)
}

fn js_home() -> PathBuf {
    binaries::folder().join("a2a-js-sdk")
}

/// The packages as the lock file has them, without any script of theirs, and our own beside them.
fn node_modules() -> Result<PathBuf, String> {
    let home = js_home();
    std::fs::create_dir_all(&home).map_err(|error| error.to_string())?;
    for file in std::fs::read_dir(sources("js")).map_err(|error| error.to_string())? {
        let file = file.map_err(|error| error.to_string())?;
        put(&file.path(), &home.join(file.file_name()))?;
    }
    once(&home, &read(&home.join("package-lock.json"))?, || {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&home);
        succeed(&mut npm)
    })?;
    let node = PathBuf::from("node");
    succeed(Command::new(&node).arg("--version"))?;
    Ok(node)
}

/// A copy that nobody can read half-written: other tests may be running it.
fn put(from: &Path, to: &Path) -> Result<(), String> {
    let staged = to.with_extension(format!("{}.staged", std::process::id()));
    let copied = std::fs::copy(from, &staged).and_then(|_| std::fs::rename(&staged, to));
    copied.map_err(|error| format!("{}: {error}", to.display()))
}

/// Makes what is in `home`, unless it was made from the same before.
fn once(
    home: &Path,
    wanted: &str,
    make: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let stamp = home.join("made-from");
    if std::fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == wanted) {
        return Ok(());
    }
    make()?;
    std::fs::write(&stamp, wanted).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let output: Output = command
        .output()
        .map_err(|error| format!("{} does not start: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
