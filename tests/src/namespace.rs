//! A network of its own for some programs: a Linux namespace whose one way out is a wire to this one,
//! with a firewall inside.
//!
//! It takes root, `ip` and `nft`. Where they are not to be had, the stories that need it say so and
//! are skipped; with `HARNESS_REQUIRE_NETNS` set, which CI does, they fail instead.

use std::{
    ffi::OsStr,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{binaries, ports::Port, process::Process};

/// The network of all wires (RFC 2544, for tests of networks): each takes four addresses of it.
const WIRES: u32 = u32::from_be_bytes([198, 18, 0, 0]);

/// So much further are the addresses of the wires that stories switch to.
const SECOND_WIRES: u32 = 1 << 16;

/// A namespace. Dropping it ends every program in it, and removes it.
pub struct Namespace {
    name: String,
    number: u32,
    _port: Port,
}

impl Namespace {
    /// Makes one; `None`, having said why, where that is not allowed.
    #[must_use]
    pub fn make() -> Option<Namespace> {
        let port = Port::take();
        let namespace = Namespace {
            name: format!("a2a{}", port.number()),
            number: port.index().into(),
            _port: port,
        };
        match namespace.lay() {
            Ok(()) => Some(namespace),
            Err(why) => {
                let required = std::env::var_os("HARNESS_REQUIRE_NETNS").is_some();
                assert!(!required, "a network namespace is required here: {why}");
                eprintln!("SKIPPED: no network namespace ({why})");
                None
            }
        }
    }

    fn lay(&self) -> Result<(), String> {
        run(Command::new("nft").arg("--version"), "")?;
        let name = self.name.as_str();
        // Whoever had this number is dead, or it would not be ours.
        self.remove();
        let (outer, inner) = (format!("{}/30", self.outer()), format!("{}/30", self.inner()));
        ip(&["netns", "add", name])?;
        ip(&["link", "add", name, "type", "veth", "peer", "name", "wire", "netns", name])?;
        ip(&["address", "add", &outer, "dev", name])?;
        ip(&["link", "set", name, "up"])?;
        ip(&["-netns", name, "address", "add", &inner, "dev", "wire"])?;
        ip(&["-netns", name, "link", "set", "wire", "up"])?;
        ip(&["-netns", name, "link", "set", "lo", "up"])
    }

    /// The address of the wire's end out here.
    #[must_use]
    pub fn outer(&self) -> Ipv4Addr {
        Ipv4Addr::from(WIRES + self.number * 4 + 1)
    }

    /// From now on the wire is cut, and another one, with addresses of its own, leads to the same address out
    /// here; as when a laptop goes from one network to the next.
    ///
    /// # Panics
    /// When there can be no other wire.
    pub fn switch_uplink(&self) {
        let (name, outer) = (self.name.as_str(), self.outer());
        let second = format!("{name}b");
        let far = Ipv4Addr::from(u32::from(outer) + SECOND_WIRES);
        let near = Ipv4Addr::from(u32::from(self.inner()) + SECOND_WIRES);
        let laid = || {
            ip(&["link", "add", &second, "type", "veth", "peer", "name", "wire2", "netns", name])?;
            ip(&["address", "add", &format!("{far}/30"), "dev", &second])?;
            ip(&["link", "set", &second, "up"])?;
            ip(&["-netns", name, "address", "add", &format!("{near}/30"), "dev", "wire2"])?;
            ip(&["-netns", name, "link", "set", "wire", "down"])?;
            ip(&["-netns", name, "link", "set", "wire2", "up"])?;
            let (outer, far) = (outer.to_string(), far.to_string());
            ip(&["-netns", name, "route", "add", &outer, "via", &far, "dev", "wire2"])
        };
        laid().expect("another wire");
    }

    /// The address of its end in there.
    fn inner(&self) -> Ipv4Addr {
        Ipv4Addr::from(WIRES + self.number * 4 + 2)
    }

    /// From now on nothing crosses the wire but UDP to this address, and what comes back from it.
    ///
    /// # Panics
    /// When the firewall is not taken.
    pub fn allow_only_udp_to(&self, to: SocketAddr) {
        self.allow_only("udp", to);
    }

    /// The same for TCP.
    ///
    /// # Panics
    /// When the firewall is not taken.
    pub fn allow_only_tcp_to(&self, to: SocketAddr) {
        self.allow_only("tcp", to);
    }

    fn allow_only(&self, protocol: &str, to: SocketAddr) {
        let (ip, port) = (to.ip(), to.port());
        self.wall(&format!(
            "chain out {{
                type filter hook output priority 0; policy drop;
                oifname lo accept
                ip daddr {ip} {protocol} dport {port} accept
            }}
            chain in {{
                type filter hook input priority 0; policy drop;
                iifname lo accept
                ip saddr {ip} {protocol} sport {port} accept
            }}"
        ));
    }

    /// UDP that comes in over a wire vanishes, and nobody is told, or does so no longer.
    ///
    /// # Panics
    /// When the firewall is not taken.
    pub fn drop_udp(&self, on: bool) {
        let rule = if on { "iifname != lo meta l4proto udp drop" } else { "" };
        self.wall(&format!("chain in {{ type filter hook input priority 0;\n{rule}\n}}"));
    }

    /// Puts this firewall in the place of the one before.
    fn wall(&self, chains: &str) {
        let rules =
            format!("table inet wall\ndelete table inet wall\ntable inet wall {{\n{chains}\n}}\n");
        run(self.command("nft").args(["-f", "-"]), &rules).expect("a firewall");
    }

    /// The mock agent, on this port of its loopback; its journal is in this folder.
    pub async fn agent(&self, port: u16, folder: &Path) -> Process {
        let mut command = self.command(binaries::mock_agent());
        command.args(["--behaviour", "a2a", "--port", &port.to_string(), "--journal"]);
        command.arg(folder.join("journal"));
        let agent = Process::spawn("mock-agent", command);
        agent.wait_for_line(|line| line.starts_with("port "), Duration::from_secs(10)).await;
        agent
    }

    /// A command that runs this program in there.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        within(Some(&self.name), program)
    }

    /// Its name, for [`within`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn remove(&self) {
        if let Ok(pids) = output(Command::new("ip").args(["netns", "pids", &self.name]), "") {
            for pid in pids.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
                // It may have ended by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        // The wire goes with either of its ends; the first time there is nothing to remove.
        let _ = ip(&["netns", "del", &self.name]);
        let _ = ip(&["link", "del", &self.name]);
        let _ = ip(&["link", "del", &format!("{}b", self.name)]);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A command that runs a program in the namespace of this name, or here. It becomes the program, so
/// that signals reach that.
#[must_use]
pub fn within(namespace: Option<&str>, program: impl AsRef<OsStr>) -> Command {
    match namespace {
        Some(name) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", name]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    run(Command::new("ip").args(args), "")
}

fn run(command: &mut Command, stdin: &str) -> Result<(), String> {
    output(command, stdin).map(drop)
}

fn output(command: &mut Command, stdin: &str) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = command.spawn().and_then(|mut child| {
        if let Some(mut input) = child.stdin.take() {
            // One that reads nothing may be gone by now.
            let _ = input.write_all(stdin.as_bytes());
        }
        child.wait_with_output()
    });
    match ran {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => {
            Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_story_that_fails_leaves_neither_its_namespace_nor_a_program_in_it() {
        let (tell, told) = mpsc::channel();
        let story = std::thread::spawn(move || {
            let Some(namespace) = Namespace::make() else { return };
            let sleeper = namespace.command("sleep").arg("1000").spawn().expect("a program");
            let inside =
                || output(Command::new("ip").args(["netns", "pids", namespace.name()]), "");
            while !inside().expect("its programs").contains(&sleeper.id().to_string()) {
                std::thread::sleep(Duration::from_millis(5));
            }
            tell.send((namespace.name().to_owned(), sleeper)).expect("somebody listens");
            panic!("as a story that fails");
        });
        let failed = story.join().is_err();
        let Ok((name, mut sleeper)) = told.try_recv() else { return };
        assert!(failed);
        assert!(!sleeper.wait().expect("it has ended").success());
        assert!(!Path::new("/run/netns").join(&name).exists());
        assert!(!Path::new("/sys/class/net").join(&name).exists());
    }
}
