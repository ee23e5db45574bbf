//! The peers: other programs that carry the same calls, two processes each, with their configurations.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tests::Process;

/// A way to run another program as a tunnel.
#[derive(Debug)]
pub(crate) struct Peer {
    /// What the table calls it.
    pub(crate) name: &'static str,
    /// What it is, for the notes.
    pub(crate) what: &'static str,
    program: &'static Program,
    /// The configurations of the end that callers reach and of the one beside the agent.
    configurations: [&'static str; 2],
}

/// A program on the path, or where a variable says.
#[derive(Debug)]
struct Program {
    name: &'static str,
    variable: &'static str,
    /// How to come by it.
    install: &'static str,
    /// Its argument for the version, and what stands before it in what it prints.
    version: (&'static str, &'static str),
    /// Its arguments for a side, `far` or `near`, and its configuration.
    arguments: fn(&str, &str) -> Vec<String>,
}

static RATHOLE: Program = Program {
    name: "rathole",
    variable: "RATHOLE",
    install: "cargo install rathole --version 0.5.0 --no-default-features --features \
              server,client,noise\n  (no OpenSSL needed; leave out --locked, its lock file no longer \
              builds)",
    version: ("--version", "Build Version:"),
    arguments: |side, configuration| {
        let role = if side == "far" { "--server" } else { "--client" };
        vec![role.to_owned(), configuration.to_owned()]
    },
};

static NGINX: Program = Program {
    name: "nginx",
    variable: "NGINX",
    install: "apt-get install nginx-light",
    version: ("-v", "nginx version:"),
    arguments: |_, configuration| ["-e", "stderr", "-c", configuration].map(str::to_owned).to_vec(),
};

/// All of them, in the order of the table.
pub(crate) static PEERS: [Peer; 4] = [
    Peer {
        name: "rathole",
        what: "rathole over plain TCP, which encrypts nothing and knows no HTTP",
        program: &RATHOLE,
        configurations: [
            include_str!("peers/rathole-far.toml"),
            include_str!("peers/rathole-near.toml"),
        ],
    },
    Peer {
        name: "rathole-noise",
        what: "rathole with its encryption, which knows no HTTP",
        program: &RATHOLE,
        configurations: [
            include_str!("peers/rathole-noise-far.toml"),
            include_str!("peers/rathole-noise-near.toml"),
        ],
    },
    Peer {
        name: "nginx",
        what: "two hops of nginx in clear: proxies of HTTP, with no tunnel between them",
        program: &NGINX,
        configurations: [
            include_str!("peers/nginx-far.conf"),
            include_str!("peers/nginx-near.conf"),
        ],
    },
    Peer {
        name: "nginx-tls",
        what: "two hops of nginx with TLS between them, and no tunnel",
        program: &NGINX,
        configurations: [
            include_str!("peers/nginx-tls-far.conf"),
            include_str!("peers/nginx-tls-near.conf"),
        ],
    },
];

/// The ports of a peer.
pub(crate) struct Ports {
    /// Where callers reach it.
    pub(crate) public: u16,
    /// Between its two ends.
    pub(crate) control: u16,
    /// The agent's.
    pub(crate) agent: u16,
}

impl Peer {
    /// Its program, if it is here.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        self.program.find()
    }

    /// What is said where it is not.
    pub(crate) fn absence(&self) -> String {
        let Program { name, variable, install, .. } = self.program;
        format!(
            "{}: {name} not found, so not measured. Name it in {variable}, or\n  {install}",
            self.name
        )
    }

    /// The version that its program tells.
    pub(crate) fn version(&self) -> Option<String> {
        let (argument, before) = self.program.version;
        let output = Command::new(self.find()?).arg(argument).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find(|line| line.contains(before)).or(text.lines().next())?;
        Some(line.rsplit(before).next().unwrap_or(line).trim().to_owned())
    }

    /// Starts both ends in `folder`, where their logs go as well.
    pub(crate) fn start(&self, program: &Path, ports: &Ports, folder: &Path) -> [Process; 2] {
        let secrets = Secrets::make(folder);
        let [far, near] = self.configurations;
        [("far", far), ("near", near)].map(|(side, template)| {
            let configuration = folder.join(format!("{side}.conf"));
            fs::write(&configuration, filled(template, ports, &secrets, folder))
                .expect("the configuration is written");
            let mut command = Command::new(program);
            command.args((self.program.arguments)(side, &configuration.display().to_string()));
            let name = format!("{} {side} end", self.name);
            Process::spawn_logging_to(&name, command, &folder.join(format!("{side}.log")))
        })
    }
}

impl Program {
    fn find(&self) -> Option<PathBuf> {
        if let Some(named) = std::env::var_os(self.variable) {
            let named = PathBuf::from(named);
            assert!(named.is_file(), "{} names no file: {}", self.variable, named.display());
            return Some(named);
        }
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join(self.name))
            .find(|file| file.is_file())
    }
}

/// Keys for the encryption between the two ends, of one run.
struct Secrets {
    noise_private: String,
    noise_public: String,
}

impl Secrets {
    /// Makes them; the certificate of TLS and its key go into files of the folder.
    fn make(folder: &Path) -> Secrets {
        let made = rcgen::generate_simple_self_signed([String::from("localhost")]);
        let made = made.expect("a certificate");
        fs::write(folder.join("near.pem"), made.cert.pem()).expect("a file");
        fs::write(folder.join("near.key"), made.signing_key.serialize_pem()).expect("a file");
        // The pair of RFC 7748, 6.1 (Alice's): it protects a run on loopback and nothing else.
        Secrets {
            noise_private: "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=".to_owned(),
            noise_public: "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=".to_owned(),
        }
    }
}

fn filled(template: &str, ports: &Ports, secrets: &Secrets, folder: &Path) -> String {
    [
        ("{public}", ports.public.to_string()),
        ("{control}", ports.control.to_string()),
        ("{agent}", ports.agent.to_string()),
        ("{folder}", folder.display().to_string()),
        ("{noise-private}", secrets.noise_private.clone()),
        ("{noise-public}", secrets.noise_public.clone()),
    ]
    .iter()
    .fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
}
