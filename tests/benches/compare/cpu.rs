//! Processor time: of processes, thread by thread, as the scheduler counts it; and of the machine.

use std::{collections::HashMap, fs, path::Path};

/// One tick of `/proc/stat` (its unit is a hundredth of a second on every common platform), µs.
const TICK_US: f64 = 10_000.0;

/// What the threads of some processes, and the machine, have used since they began.
pub(crate) struct Reading {
    threads: HashMap<(u32, u32), (String, u64)>,
    machine: Machine,
}

/// What they used between two readings.
pub(crate) struct Used {
    threads: Vec<(u32, String, u64)>,
    machine: Machine,
}

/// The machine's time, µs of a core, as ticks sample it.
#[derive(Clone, Copy)]
struct Machine {
    busy: f64,
    stolen: f64,
}

impl Reading {
    /// Reads the threads of these processes now. What ended meanwhile is not in it.
    pub(crate) fn of(pids: &[u32]) -> Reading {
        let mut threads = HashMap::new();
        for pid in pids {
            let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            for task in tasks.flatten() {
                let thread = task.file_name().to_str().and_then(|name| name.parse().ok());
                if let (Some(thread), Some(used)) = (thread, thread_of(&task.path())) {
                    threads.insert((*pid, thread), used);
                }
            }
        }
        Reading { threads, machine: Machine::now() }
    }

    /// What was used since an earlier reading of the same processes.
    pub(crate) fn since(self, before: &Reading) -> Used {
        let threads = self.threads.into_iter().map(|(key, (name, ns))| {
            let earlier = before.threads.get(&key).map_or(0, |(_, ns)| *ns);
            (key.0, name, ns.saturating_sub(earlier))
        });
        let (now, then) = (self.machine, before.machine);
        let machine = Machine { busy: now.busy - then.busy, stolen: now.stolen - then.stolen };
        Used { threads: threads.collect(), machine }
    }
}

impl Used {
    /// Microseconds of all threads of a process.
    pub(crate) fn process_us(&self, pid: u32) -> f64 {
        self.us(|of, _| of == pid)
    }

    /// Microseconds of the threads of a process with this name.
    pub(crate) fn thread_us(&self, pid: u32, name: &str) -> f64 {
        self.us(|of, thread| of == pid && thread == name)
    }

    /// Microseconds of the whole machine, interrupts included. Ticks sample it: work that a timer
    /// starts falls between them.
    pub(crate) fn machine_us(&self) -> f64 {
        self.machine.busy
    }

    /// Microseconds that went to processes not watched, or to another machine on the same host.
    /// Some kernels count the network's interrupts to no process: there they are in it too.
    pub(crate) fn others_us(&self) -> f64 {
        (self.machine.busy - self.us(|_, _| true)).max(0.0) + self.machine.stolen
    }

    fn us(&self, wanted: impl Fn(u32, &str) -> bool) -> f64 {
        let threads = self.threads.iter().filter(|(pid, name, _)| wanted(*pid, name));
        threads.map(|(_, _, ns)| *ns as f64 / 1_000.0).sum()
    }
}

impl Machine {
    /// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
    fn now() -> Machine {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        let fields = line.split_whitespace().skip(1);
        let us: Vec<f64> =
            fields.map(|field| field.parse::<f64>().unwrap_or_default() * TICK_US).collect();
        let sum = |fields: &[usize]| fields.iter().filter_map(|at| us.get(*at)).sum::<f64>();
        Machine { busy: sum(&[0, 1, 2, 5, 6]), stolen: sum(&[7]) }
    }
}

/// The name of a thread, and the nanoseconds that it has run.
fn thread_of(task: &Path) -> Option<(String, u64)> {
    let name = fs::read_to_string(task.join("comm")).ok()?;
    let schedule = fs::read_to_string(task.join("schedstat")).ok()?;
    Some((name.trim().to_owned(), schedule.split_whitespace().next()?.parse().ok()?))
}
