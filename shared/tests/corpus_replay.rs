//! Replays the committed corpus of every fuzz target, without a fuzzer.
//!
//! Files named `taken-…`, `cut-…` and `refused-…` are written by `corpus_replay/seeds.rs` and must
//! be judged as they are named; the others were found by a fuzzer. To write the former anew:
//! `WRITE_CORPUS=1 cargo test -p shared --test corpus_replay`.

#[cfg(test)]
#[path = "../fuzz/checks.rs"]
mod checks;
#[cfg(test)]
#[path = "corpus_replay/seeds.rs"]
mod seeds;

#[cfg(test)]
mod replay {
    use std::collections::BTreeSet;
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::{Path, PathBuf};

    use crate::checks::{TARGETS, Verdict};
    use crate::seeds::seeds;

    fn folder(target: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
    }

    fn files(target: &str) -> Vec<PathBuf> {
        let folder = folder(target);
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn named(path: &Path) -> Option<Verdict> {
        match path.file_name()?.to_str()?.split_once('-')?.0 {
            "taken" => Some(Verdict::Taken),
            "cut" => Some(Verdict::Cut),
            "refused" => Some(Verdict::Refused),
            _ => None,
        }
    }

    fn writing() -> bool {
        std::env::var_os("WRITE_CORPUS").is_some()
    }

    #[test]
    fn every_input_is_judged_as_it_is_named() {
        if writing() {
            return;
        }
        let mut wrong = Vec::new();
        for (target, check) in TARGETS {
            let files = files(target);
            assert!(!files.is_empty(), "{target} has no corpus");
            for path in files {
                let input = fs::read(&path).unwrap();
                match (catch_unwind(|| check(&input)), named(&path)) {
                    (Err(_), _) => wrong.push(format!("{} breaks a promise", path.display())),
                    (Ok(verdict), Some(name)) if verdict != name => {
                        wrong.push(format!("{} is {verdict:?}", path.display()));
                    }
                    _ => {}
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn the_committed_seeds_are_those_that_the_generator_writes() {
        let write = writing();
        let mut written = BTreeSet::new();
        for (target, name, input) in seeds() {
            let path = folder(target).join(&name);
            if write {
                fs::create_dir_all(folder(target)).unwrap();
                fs::write(&path, &input).unwrap();
            }
            assert!(fs::read(&path).ok() == Some(input), "{} is not the seed", path.display());
            assert!(written.insert(path), "{target}/{name} twice");
        }
        for (target, _) in TARGETS {
            for path in files(target).iter().filter(|path| named(path).is_some()) {
                if !written.contains(path) {
                    assert!(write, "{} is no seed any more", path.display());
                    fs::remove_file(path).unwrap();
                }
            }
        }
    }

    #[test]
    fn every_target_has_its_fuzzer() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let targets: BTreeSet<PathBuf> = TARGETS
            .iter()
            .map(|(target, _)| fuzz.join("fuzz_targets").join(format!("{target}.rs")))
            .collect();
        let fuzzers: BTreeSet<PathBuf> =
            fs::read_dir(fuzz.join("fuzz_targets")).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(targets, fuzzers);
    }
}
