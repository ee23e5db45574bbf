//! Texts that must not stand in the arguments: read from standard input, or from a file of their owner's.

use std::io::{IsTerminal, Read};
use std::path::Path;

use super::exit::{Code, Failure};
use super::output;

/// The longest text that is read, bytes; the relay takes fewer and says so.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// The text on standard input, without the line's end. `what` it is, and `how` to give it, are for people.
pub(super) fn read_stdin(what: &str, how: &str) -> Result<String, Failure> {
    let mut stdin = std::io::stdin().lock();
    if stdin.is_terminal() {
        output::note(&format!("Type the {what}, then end the input (Ctrl-D):"));
    }
    let mut text = String::new();
    Read::by_ref(&mut stdin).take(TEXT_BYTES_MAX).read_to_string(&mut text).map_err(|error| {
        Failure::new(Code::Configuration, format!("The {what} cannot be read: {error}."))
    })?;
    let text = without_end(&text);
    if text.is_empty() {
        return Err(Failure::new(
            Code::Configuration,
            format!("No {what} came on standard input; give it like {how}."),
        ));
    }
    Ok(text.to_owned())
}

/// The text in the file at `path`, which must be its owner's alone, without the line's end.
pub(super) fn read_file(path: &Path) -> Result<String, Failure> {
    let failed = |why: String| Failure::new(Code::Configuration, why);
    let bytes = certs::files::read_private(path).map_err(|error| failed(format!("{error}.")))?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| failed(format!("The file {} holds no text.", path.display())))?;
    Ok(without_end(&text).to_owned())
}

fn without_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}
