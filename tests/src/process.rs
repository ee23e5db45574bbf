//! A child process that is owned: output collected, signals by its own handle, killed on drop.

use crate::until;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Lines kept of one process: enough to explain a failure, bounded for long runs.
const LINES_MAX: usize = 5_000;

/// How long the readers may take to drain the pipes of a process that has ended.
const DRAIN: Duration = Duration::from_millis(500);

/// A running program. All verbs take `&self`; drop kills and reaps it.
pub struct Process {
    name: String,
    pid: u32,
    child: Mutex<Child>,
    output: Arc<Mutex<Output>>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Output {
    lines: VecDeque<String>,
    forgotten: usize,
}

impl Process {
    /// Starts the command with both outputs collected and nothing on its standard input.
    #[must_use]
    pub fn spawn(name: &str, mut command: Command) -> Process {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Process::start(name, command)
    }

    /// Starts the command with both outputs appended to a file, so that reading them costs nobody
    /// anything; [`Process::lines`] stays empty. The file may be truncated meanwhile.
    #[must_use]
    pub fn spawn_logging_to(name: &str, mut command: Command, file: &Path) -> Process {
        let file = File::options().create(true).append(true).open(file);
        let out = file.unwrap_or_else(|e| panic!("the log of {name}: {e}"));
        let err = out.try_clone().unwrap_or_else(|e| panic!("the log of {name}: {e}"));
        command.stdout(out).stderr(err);
        Process::start(name, command)
    }

    fn start(name: &str, mut command: Command) -> Process {
        command.stdin(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let output = Arc::default();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let readers = [
            out.map(|pipe| collect(name, pipe, &output)),
            err.map(|pipe| collect(name, pipe, &output)),
        ];
        let readers = readers.into_iter().flatten().collect();
        Process {
            name: name.to_owned(),
            pid: child.id(),
            child: Mutex::new(child),
            output,
            readers,
        }
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// All lines kept so far, of both outputs.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        lock(&self.output).lines.iter().cloned().collect()
    }

    /// The first line, from the beginning on, that the predicate likes.
    pub async fn wait_for_line(&self, wanted: impl Fn(&str) -> bool, deadline: Duration) -> String {
        let fact = format!("{} writes the line", self.name);
        until(&fact, deadline, async || self.lines().into_iter().find(|line| wanted(line))).await
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill9(&self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// SIGSTOP: the process is frozen, its sockets stay open.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// True until the process has ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.try_exit().is_none()
    }

    /// Waits for the end. A signal counts as a shell counts it: 128 plus its number.
    pub async fn exit_code(&self, deadline: Duration) -> i32 {
        let fact = format!("{} ends", self.name);
        let status = until(&fact, deadline, async || self.try_exit()).await;
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
    }

    /// Resident memory now.
    #[must_use]
    pub fn rss_bytes(&self) -> u64 {
        self.status_kib("VmRSS:") * 1024
    }

    /// The most resident memory that it ever had.
    #[must_use]
    pub fn peak_rss_bytes(&self) -> u64 {
        self.status_kib("VmHWM:") * 1024
    }

    /// Open file descriptors.
    #[must_use]
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid)).map_or(0, Iterator::count)
    }

    fn status_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid));
        let status = status.unwrap_or_else(|e| panic!("{} has no status: {e}", self.name));
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("{} has no {field}", self.name))
    }

    /// A process that was reaped gets no signal: its number may belong to another by now.
    fn signal(&self, signal: Signal) {
        let mut child = lock(&self.child);
        let running = matches!(child.try_wait(), Ok(None));
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let (true, Some(pid)) = (running, pid) {
            kill_process(pid, signal).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        }
    }

    fn try_exit(&self) -> Option<ExitStatus> {
        lock(&self.child).try_wait().unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
        let end = Instant::now() + DRAIN;
        while Instant::now() < end && !self.readers.iter().all(JoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if std::thread::panicking() && std::env::var_os("HARNESS_LOG").is_none() {
            let output = lock(&self.output);
            eprintln!("--- {} ({} earlier lines forgotten)", self.name, output.forgotten);
            output.lines.iter().for_each(|line| eprintln!("{line}"));
            eprintln!("--- end of {}", self.name);
        }
    }
}

/// Reads a pipe line by line until its end, on a thread, so that no test can stall the child.
fn collect(
    name: &str,
    pipe: impl Read + Send + 'static,
    output: &Arc<Mutex<Output>>,
) -> JoinHandle<()> {
    let (name, output) = (name.to_owned(), Arc::clone(output));
    let echo = std::env::var_os("HARNESS_LOG").is_some();
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if echo {
                eprintln!("[{name}] {text}");
            }
            let mut output = lock(&output);
            if output.lines.len() == LINES_MAX {
                output.lines.pop_front();
                output.forgotten += 1;
            }
            output.lines.push_back(text);
        }
    })
}

/// A lock that a panicking test cannot poison for the report of its failure.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn("sh", command)
    }

    #[tokio::test]
    async fn collects_lines_and_the_exit_code() {
        let process = shell("echo one; echo two >&2; exit 7");
        process.wait_for_line(|line| line == "one", SOON).await;
        process.wait_for_line(|line| line == "two", SOON).await;
        assert_eq!(process.exit_code(SOON).await, 7);
        assert!(!process.is_running());
    }

    #[tokio::test]
    async fn signals_reach_only_their_process() {
        let process =
            shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
        process.wait_for_line(|line| line == "ready", SOON).await;
        assert!(process.rss_bytes() > 0 && process.peak_rss_bytes() >= process.rss_bytes());
        assert!(process.open_files() >= 3);
        process.pause();
        process.resume();
        process.terminate();
        process.wait_for_line(|line| line == "bye", SOON).await;
        assert_eq!(process.exit_code(SOON).await, 3);
        process.terminate();
    }

    #[tokio::test]
    async fn a_dropped_process_is_gone() {
        let process = shell("echo ready; exec sleep 1000");
        process.wait_for_line(|line| line == "ready", SOON).await;
        let proc = format!("/proc/{}", process.pid());
        drop(process);
        assert!(!Path::new(&proc).exists());
    }

    #[tokio::test]
    async fn a_kill_is_told_as_a_shell_tells_it() {
        let process = shell("exec sleep 1000");
        process.kill9();
        assert_eq!(process.exit_code(SOON).await, 137);
    }
}
