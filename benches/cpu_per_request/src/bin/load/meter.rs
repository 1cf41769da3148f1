//! CPU time of processes and cores.

use std::error::Error;
use std::fs;
use std::time::Duration;

use nix::time::ClockId;
use nix::unistd::Pid;

/// CPU time used until an instant, or between two.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    /// Of the measured process, user and system, all threads.
    pub(crate) process: Duration,
    /// Of this process.
    pub(crate) own: Duration,
    /// Of whatever ran on the core, interrupts and the hypervisor's other guests included.
    pub(crate) core_busy: Duration,
}

impl Meter {
    /// Reads the clocks now. The process's clock is the sum of `utime` and `stime` in nanoseconds
    /// (clock_getcpuclockid(3)); the core's counts hundredths of a second.
    pub(crate) fn read(pid: i32, core: usize) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            process: ClockId::pid_cpu_clock_id(Pid::from_raw(pid))?.now()?.into(),
            own: ClockId::CLOCK_PROCESS_CPUTIME_ID.now()?.into(),
            core_busy: core_busy(core)?,
        })
    }

    /// What was used between `before` and this.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            process: self.process.saturating_sub(before.process),
            own: self.own.saturating_sub(before.own),
            core_busy: self.core_busy.saturating_sub(before.core_busy),
        }
    }
}

/// User, nice, system, irq, softirq and steal of one core (proc_stat(5)); idle and iowait are left out.
fn core_busy(core: usize) -> Result<Duration, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name)).ok_or("expected the core in /proc/stat")?;
    let ticks: Vec<u64> = line.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks.as_slice() else {
        return Err("expected eight counts of a core in /proc/stat".into());
    };
    Ok(TICK.saturating_mul(u32::try_from(user + nice + system + irq + softirq + steal)?))
}

/// One count in /proc/stat; `USER_HZ` is 100 on every platform of Linux that this runs on.
const TICK: Duration = Duration::from_millis(10);
