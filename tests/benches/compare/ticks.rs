//! A clock that ticks at a fixed rate to the microsecond; the runtime's own timers round to 1 ms.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::{
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Ticks of a fixed rate. None is lost: what was missed comes at once, with the time it was due.
pub(crate) struct Ticks {
    timer: AsyncFd<OwnedFd>,
    begun: Instant,
    interval: Duration,
    ticked: u32,
}

impl Ticks {
    /// So many ticks a second from now on.
    pub(crate) fn start(per_second: u32) -> Ticks {
        let interval = Duration::from_secs(1) / per_second;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).expect("a timer");
        let every = Timespec { tv_sec: 0, tv_nsec: interval.subsec_nanos().into() };
        let times = Itimerspec { it_interval: every, it_value: every };
        let begun = Instant::now();
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times).expect("the timer starts");
        #[expect(deprecated, reason = "its successor is unsafe; an `OwnedFd` stays what it is")]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE).expect("a polled timer");
        Ticks { timer, begun, interval, ticked: 0 }
    }

    /// Waits for the next ticks, and yields when each of them was due.
    pub(crate) async fn due(&mut self) -> impl Iterator<Item = Instant> + use<> {
        let read = self.timer.async_io(Interest::READABLE, |timer| {
            let mut count = [0; 8];
            rustix::io::read(timer, &mut count).map_err(io::Error::from)?;
            Ok(u64::from_ne_bytes(count))
        });
        let count = u32::try_from(read.await.expect("a timer can be read")).unwrap_or(u32::MAX);
        let (begun, interval, first) = (self.begun, self.interval, self.ticked + 1);
        self.ticked += count;
        (first..first + count).map(move |number| begun + interval * number)
    }
}
