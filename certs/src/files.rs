//! Files that hold secrets: written whole or not at all, readable by their owner only.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The most that is read of a file, in bytes: every file of ours is a few kilobytes, so
/// anything larger is not one of ours.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The mode bit by which anybody may replace the files of a folder, however private those are. The
/// group's is let be: on many systems each user's group is their own.
const WRITABLE_BY_ALL: u32 = 0o002;

/// What the names of files begin with that are being written.
pub const STAGED: &str = ".staged-";

/// Why a private file or folder could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The folder could not be made.
    #[error(
        "The folder {} could not be created ({source}); create it or choose another place",
        path.display()
    )]
    CreateDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anybody may replace what is in the folder.
    #[error(
        "The folder {} is for secrets, and every user may write into it (mode {mode:03o}); \
         run `chmod 700 {}`",
        path.display(), path.display()
    )]
    SharedDir {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file could not be written; what was there before is unchanged.
    #[error(
        "The file {} could not be written ({source}); check its folder's owner and free space",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is there already, and was left as it is.
    #[error("The file {} exists already and was left as it is; move it away first", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is no such file.
    #[error("The file {} does not exist; check the path", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file or folder could not be read.
    #[error("{} could not be read ({source}); check its owner and mode", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds a secret that others can read or change.
    #[error(
        "The file {} holds a secret that other users can reach (mode {mode:03o}); \
         run `chmod 600 {}`",
        path.display(), path.display()
    )]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is larger than any file of ours.
    #[error(
        "The file {} is larger than {FILE_BYTES_MAX} bytes, so it is not a file of ours; \
         check the path",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// Makes the folder `path`, and those above it that are missing, with mode 0700. A folder that is
/// there already keeps its mode, and is refused where anybody may put files of their own into it.
pub fn create_private_dir(path: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| FileError::CreateDir { path: path.to_owned(), source })?;
    let metadata = std::fs::metadata(path).map_err(|source| read_error(path, source))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & WRITABLE_BY_ALL == 0 {
        return Ok(());
    }
    Err(FileError::SharedDir { path: path.to_owned(), mode })
}

/// Whether the mode of `path` shuts out everybody but its owner.
pub fn is_private(path: &Path) -> Result<bool, FileError> {
    let metadata = std::fs::metadata(path).map_err(|source| read_error(path, source))?;
    Ok(others(metadata.permissions().mode()) == 0)
}

/// Reads the file at `path`, unless other users can reach it too.
pub fn read_private(path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = |source| read_error(path, source);
    let file = File::open(path).map_err(failed)?;
    // The mode of what is open, not of what the path may name a moment later.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if others(mode) != 0 {
        return Err(FileError::NotPrivate { path: path.to_owned(), mode });
    }
    read_whole(file, path)
}

/// Reads the file at `path`, which is no secret.
pub fn read_public(path: &Path) -> Result<Vec<u8>, FileError> {
    read_whole(File::open(path).map_err(|source| read_error(path, source))?, path)
}

fn read_whole(file: File, path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = |source| read_error(path, source);
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Like [`read_private`], but a file that does not exist is `None`.
pub fn read_private_if_present(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match read_private(path) {
        Err(FileError::Missing { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// Replaces the file at `path` by `bytes`, mode 0600. At every moment, power loss included, the
/// path names either the old content or the new, whole.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    let staged = stage(path, bytes).map_err(failed)?;
    staged.persist(path).map_err(|error| failed(error.error))?;
    sync_folder_of(path).map_err(failed)
}

/// Like [`write_private`], but never replaces: a file that is there already is left as it is.
pub fn write_private_new(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists { path: path.to_owned() },
        _ => FileError::Write { path: path.to_owned(), source },
    };
    let staged = stage(path, bytes).map_err(failed)?;
    staged.persist_noclobber(path).map_err(|error| failed(error.error))?;
    sync_folder_of(path).map_err(failed)
}

/// Removes the file at `path`; that it is gone already is no error.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FileError::Write { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Removes the files in `folder` whose names begin with `prefix`: what writers left half-made that
/// were killed. For whoever knows that no other process writes there now. A folder that is not
/// there holds none; all are tried, and the first failure is told.
pub fn sweep(folder: &Path, prefix: &str) -> Result<(), FileError> {
    let entries = match std::fs::read_dir(folder) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| read_error(folder, source))?,
    };
    let mut swept = Ok(());
    for entry in entries.flatten() {
        // A link is removed itself; a folder is none of ours.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder && entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            swept = swept.and(remove(&entry.path()));
        }
    }
    swept
}

/// The permission bits that concern anybody but the owner.
fn others(mode: u32) -> u32 {
    mode & 0o077
}

fn read_error(path: &Path, source: io::Error) -> FileError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing { path },
        _ => FileError::Read { path, source },
    }
}

/// The folder of `path`; the current one for a bare name.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Writes `bytes` to disk beside `path`, under a name that vanishes if it is not persisted.
fn stage(path: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let mut staged = tempfile::Builder::new()
        .prefix(STAGED)
        .permissions(PermissionsExt::from_mode(0o600))
        .tempfile_in(folder_of(path))?;
    staged.write_all(bytes)?;
    staged.as_file().sync_all()?;
    Ok(staged)
}

/// Makes a rename in the folder of `path` survive a power loss.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn folders_and_files_are_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        create_private_dir(&inner).unwrap();
        create_private_dir(&inner).unwrap();
        assert_eq!(mode(&inner), 0o700);
        assert_eq!(mode(&dir.path().join("a")), 0o700);
        assert!(is_private(&inner).unwrap());

        let path = inner.join("secret");
        write_private(&path, b"one").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(read_private(&path).unwrap(), b"one");
    }

    #[test]
    fn a_folder_into_which_anybody_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (mode, refused) in [(0o777, true), (0o702, true), (0o775, false), (0o700, false)] {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let made = create_private_dir(dir.path());
            assert_eq!(matches!(made, Err(FileError::SharedDir { .. })), refused, "{mode:o}");
        }
    }

    #[test]
    fn replacing_leaves_one_file_with_the_new_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "old and open").unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(read_private(&path).unwrap(), b"new");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(names(dir.path()), ["secret"]);
    }

    #[test]
    fn a_new_file_never_replaces_an_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_private_new(&path, b"first").unwrap();
        let error = write_private_new(&path, b"second").unwrap_err();
        assert!(matches!(&error, FileError::Exists { path: named } if *named == path), "{error}");
        assert_eq!(read_private(&path).unwrap(), b"first");
        assert_eq!(names(dir.path()), ["secret"]);
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("occupied");
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(write_private(&path, b"x").unwrap_err(), FileError::Write { .. }));
        assert_eq!(names(dir.path()), ["occupied"]);
    }

    #[test]
    fn sweeping_takes_what_was_left_half_made_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".staged-a1", ".staged-", "staged-b", "secret", ".hidden"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(dir.path().join(".staged-folder")).unwrap();
        std::os::unix::fs::symlink("secret", dir.path().join(".staged-link")).unwrap();
        sweep(dir.path(), STAGED).unwrap();
        let mut left = names(dir.path());
        left.sort();
        assert_eq!(left, [".hidden", ".staged-folder", "secret", "staged-b"]);
        sweep(&dir.path().join("missing"), STAGED).unwrap();
    }

    #[test]
    fn a_file_that_others_can_reach_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_private(&path, b"x").unwrap();
        for bits in [0o640, 0o604, 0o620, 0o601] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(bits)).unwrap();
            let error = read_private(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
            assert!(!is_private(&path).unwrap());
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
        assert_eq!(read_private(&path).unwrap(), b"x");
    }

    #[test]
    fn missing_and_oversized_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert!(matches!(read_private(&path).unwrap_err(), FileError::Missing { .. }));
        assert!(read_private_if_present(&path).unwrap().is_none());
        write_private(&path, &vec![0; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(matches!(read_private(&path).unwrap_err(), FileError::TooLarge { .. }));
        remove(&path).unwrap();
        remove(&path).unwrap();
    }
}
