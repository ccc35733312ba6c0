//! The clocks, and the one alarm that the protocol loop sleeps on.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{
    ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags,
};
use nix::time::ClockId;

use super::kernel_time::nanoseconds;
use super::socket::Readiness;
use crate::time::{Mono, Now, Span, Wall};

/// Reads both clocks.
pub(crate) fn now() -> Now {
    Now { mono: Mono(read(ClockId::CLOCK_BOOTTIME)), wall: Wall(read(ClockId::CLOCK_REALTIME)) }
}

/// A point on the monotonic clock, and for how long the machine had been suspended by then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) mono: Mono,
    /// All suspensions since the machine was booted.
    pub(crate) suspended: Span,
}

/// Reads the monotonic clock with suspensions and the one without.
pub(crate) fn moment() -> Moment {
    let awake = read(ClockId::CLOCK_MONOTONIC);
    let mono = Mono(read(ClockId::CLOCK_BOOTTIME));
    Moment { mono, suspended: mono.since(Mono(awake)) }
}

fn read(clock: ClockId) -> u64 {
    // Reading a clock that exists cannot fail (clock_gettime(2)).
    clock.now().map_or(0, nanoseconds)
}

/// A timer on `CLOCK_BOOTTIME` with the kernel's precision: tokio's own has one of 1 ms, a tenth
/// of the shortest advertisement interval.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: TimerFd,
    readiness: Readiness,
    set_to: Option<Mono>,
}

impl Alarm {
    /// An alarm that is not set; within a tokio runtime.
    ///
    /// # Errors
    /// When the kernel has no timer left.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(TimerClock::CLOCK_BOOTTIME, flags)?;
        let readiness = Readiness::of(&timer)?;
        Ok(Self { timer, readiness, set_to: None })
    }

    /// Rings once at `time`, at once where that has passed; `None`: never.
    ///
    /// # Errors
    /// When the kernel refuses the time.
    pub(crate) fn set(&mut self, time: Option<Mono>) -> io::Result<()> {
        if self.set_to == time {
            return Ok(());
        }
        match time {
            Some(Mono(nanos)) => {
                // Zero would disarm it (timerfd_settime(2)).
                let time = TimeSpec::from_duration(Duration::from_nanos(nanos.max(1)));
                let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME;
                self.timer.set(Expiration::OneShot(time), flags)?;
            }
            None => self.timer.unset()?,
        }
        self.set_to = time;
        Ok(())
    }

    /// Returns when it rings.
    pub(crate) async fn rings(&mut self) {
        loop {
            poll_fn(|context| self.readiness.poll(context)).await;
            self.readiness.clear();
            // Where there is nothing to read, it was set anew since it rang.
            if nix::unistd::read(&self.timer, &mut [0; 8]) != Err(Errno::EAGAIN) {
                self.set_to = None;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    /// Bug guarded: an alarm that is set anew after it rang must not ring for the old time.
    #[test]
    fn an_alarm_never_rings_early() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let mut alarm = Alarm::new().unwrap();
            for delay in [Span::ZERO, Span::from_millis(5), Span::from_micros(300)] {
                let time = now().mono + delay;
                alarm.set(Some(Mono(1))).unwrap();
                alarm.set(Some(time)).unwrap();
                alarm.rings().await;
                assert!(now().mono >= time);
            }
        });
    }
}
