//! What shells and `man` are told: scripts that shells take, pages that leave out no flag.

use crate::command;
use std::{collections::BTreeSet, fs, path::Path, process::Command};
use tests::operator::Output;

async fn of(program: &str, args: &[&str]) -> Output {
    let output = match program {
        "relay" => command::relay(args).await,
        _ => command::connector(args, "").await,
    };
    assert_eq!(output.code, 0, "{program} {args:?}: {output:?}");
    output
}

/// What bash offers for the last of these words.
fn offered(script: &Path, words: &[&str]) -> String {
    let (last, before) = (words.last().expect("a word"), words[words.len() - 2]);
    let function = format!("_{}", words[0].replace('-', "__"));
    let typed = format!(
        "source '{}'; COMP_WORDS=({}); COMP_CWORD={}; {function} {} '{last}' '{before}'; \
         echo \"${{COMPREPLY[@]}}\"",
        script.display(),
        words.join(" "),
        words.len() - 1,
        words[0],
    );
    let output = Command::new("bash").args(["--norc", "-c", &typed]).output().expect("bash runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn shells_complete_what_is_typed() {
    let folder = tempfile::tempdir().expect("a folder");
    for (program, words, flag) in [
        ("relay", ["relay", "wor"], "workspace"),
        ("agent-connector", ["agent-connector", "st"], "status"),
    ] {
        for shell in ["bash", "zsh", "fish"] {
            let script = of(program, &["completions", shell]).await.stdout;
            let path = folder.path().join(format!("{program}.{shell}"));
            fs::write(&path, &script).expect("written");
            assert!(script.contains(flag), "{shell}: {script}");
            // A shell that is not here cannot be asked.
            if let Ok(read) = Command::new(shell).arg("-n").arg(&path).output() {
                assert!(read.status.success(), "{shell}: {read:?}");
            }
        }
        let script = folder.path().join(format!("{program}.bash"));
        let offers = offered(&script, &words);
        assert!(offers.split_whitespace().any(|offer| offer == flag), "{offers}");
    }
    let script = folder.path().join("relay.bash");
    let flags = offered(&script, &["relay", "serve", "--tls"]);
    assert!(flags.contains("--tls-cert") && flags.contains("--tls-key"), "{flags}");
    assert_eq!(command::relay(&["completions", "abacus"]).await.code, 2);
}

/// The flags that a text names.
fn flags(text: &str) -> BTreeSet<String> {
    let plain = text.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "");
    let words = plain.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let long = words.filter(|word| word.len() > 2 && word.starts_with("--"));
    long.map(str::to_owned).collect()
}

/// The commands below this one, as its help lists them.
fn below(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let named = listed.take_while(|line| !line.is_empty());
    let names = named.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[tokio::test]
async fn every_command_has_a_page_with_each_of_its_flags() {
    for program in ["relay", "agent-connector"] {
        let folder = tempfile::tempdir().expect("a folder");
        let pages = folder.path().join("share/man1");
        of(program, &["man", "--dir", pages.to_str().expect("text")]).await;
        let main = of(program, &["man"]).await.stdout;
        assert_eq!(main, fs::read_to_string(pages.join(format!("{program}.1"))).expect("a page"));
        let mut open: Vec<Vec<String>> = vec![vec![]];
        let mut seen = 0;
        while let Some(command) = open.pop() {
            let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
            let name = format!("{}.1", [&[program], args.as_slice()].concat().join("-"));
            let page = fs::read_to_string(pages.join(&name)).unwrap_or_else(|_| panic!("{name}"));
            args.push("--help");
            let help = of(program, &args).await.stdout;
            let missing: Vec<_> = flags(&help).difference(&flags(&page)).cloned().collect();
            assert!(missing.is_empty(), "{name} lacks {missing:?}");
            open.extend(
                below(&help).into_iter().map(|next| [command.as_slice(), &[next]].concat()),
            );
            seen += 1;
        }
        assert_eq!(fs::read_dir(&pages).expect("a folder").count(), seen, "{program}");
    }
    let output = command::relay(&["man", "--dir", "/proc/none"]).await;
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("/proc/none"), "{output:?}");
}
