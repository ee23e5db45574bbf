//! Disks that fail: a small one that can be filled, and one whose calls answer errors.
//!
//! They take root, and `strace`. Where they are not to be had, the stories that need them say so and
//! are skipped; with `HARNESS_REQUIRE_DISK` set, which CI does, they fail instead.

use std::{
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use crate::{Process, until};

/// How long strace may take to attach to a process, or to let go of it.
const ATTACH: Duration = Duration::from_secs(20);

fn skipped<T>(what: &str, why: &str) -> Option<T> {
    let required = std::env::var_os("HARNESS_REQUIRE_DISK").is_some();
    assert!(!required, "{what} is required here: {why}");
    eprintln!("SKIPPED: no {what} ({why})");
    None
}

/// A file system in memory, of its own size.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many bytes; `None`, having said why, where that is not allowed.
    ///
    /// # Panics
    /// When there is no temporary folder.
    #[must_use]
    pub fn mount(bytes: u64) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("a folder to mount on");
        let size = std::ffi::CString::new(format!("size={bytes},mode=700")).expect("no zero byte");
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        match mount("tmpfs", folder.path(), "tmpfs", flags, size.as_c_str()) {
            Ok(()) => Some(SmallDisk { folder }),
            Err(error) => skipped("small disk", &error.to_string()),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all of its room but so many bytes, give or take a page.
    ///
    /// # Panics
    /// When the room cannot be taken.
    pub fn fill(&self, but: u64) {
        let mut ballast = std::fs::File::create(self.ballast()).expect("a file to fill it with");
        loop {
            match ballast.write_all(&[0x5A; 4096]) {
                Ok(()) => {}
                Err(full) if full.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("the disk is not filled: {error}"),
            }
        }
        let taken = ballast.metadata().expect("its length").len();
        ballast.set_len(taken.saturating_sub(but)).expect("some room");
    }

    /// Gives the room back.
    ///
    /// # Panics
    /// When it was not taken.
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("the disk was filled");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has a file open keeps it until it ends.
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}

/// Errors that the system answers to a process that touches certain files.
pub struct Faults {
    strace: Process,
}

impl Faults {
    /// From now on `process` gets what `inject` says, in strace's words, such as
    /// `fsync,fdatasync:error=EIO:when=3+`, where it touches one of `files`. `None`, having said why,
    /// where it cannot be traced.
    pub async fn inject(process: &Process, inject: &str, files: &[&Path]) -> Option<Faults> {
        let found = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
        if let Err(error) = found {
            return skipped("strace", &error.to_string());
        }
        let calls = inject.split(':').next().unwrap_or_default();
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &process.pid().to_string()]);
        command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={inject}")]);
        for file in files {
            command.arg("-P").arg(file);
        }
        let strace = Process::spawn("strace", command);
        let attached = until("strace is attached", ATTACH, async || {
            let attached = strace.lines().iter().any(|line| line.contains(" attached"));
            (attached || !strace.is_running()).then_some(attached)
        });
        match attached.await {
            true => Some(Faults { strace }),
            false => skipped("strace", &strace.lines().join("; ")),
        }
    }

    /// How many calls were answered with an error so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.strace.lines().iter().filter(|line| line.contains("(INJECTED)")).count()
    }

    /// Ends them: the process goes on untouched.
    pub async fn end(self) {
        self.strace.terminate();
        self.strace.exit_code(ATTACH).await;
    }
}
