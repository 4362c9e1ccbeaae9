//! Whether this kernel lets weir use io_uring, and if not, exactly why.
//!
//! In: the answers of the kernel. Out: facts, or a problem that says what to do.
//! Never: a guess where the kernel can be asked.

use std::fs;
use std::io;

use super::ring;

/// io_uring operations that shards use: opcode, name, kernel that has it.
const OPERATIONS: [(u8, &str); 7] = [
    (io_uring::opcode::Send::CODE, "SEND"),
    (io_uring::opcode::Accept::CODE, "ACCEPT"),
    (io_uring::opcode::Connect::CODE, "CONNECT"),
    (io_uring::opcode::Read::CODE, "READ"),
    (io_uring::opcode::Fsync::CODE, "FSYNC"),
    (io_uring::opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
    (io_uring::opcode::PollAdd::CODE, "POLL_ADD"),
];
/// The oldest kernel with everything: DEFER_TASKRUN.
const KERNEL_MIN: &str = "6.1";
/// Below this, glommio does not start an executor.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;

/// What the kernel offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFacts {
    /// Release, as `uname -r` prints it.
    pub release: String,
    /// Memory this process may lock; `None` for unlimited.
    pub memlock_bytes: Option<u64>,
}

/// Why io_uring cannot be used. Each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelProblem {
    /// The system call does not exist.
    #[error(
        "this kernel ({0}) has no io_uring (ENOSYS). weir needs Linux {KERNEL_MIN} or later with \
         CONFIG_IO_URING. In a sandbox such as gVisor, run weir outside of it."
    )]
    Missing(String),
    /// A sysctl forbids it.
    #[error(
        "io_uring is forbidden by the sysctl kernel.io_uring_disabled = {value}. Allow it with \
         `sysctl -w kernel.io_uring_disabled=0`, or with 1 and weir's group in \
         kernel.io_uring_group."
    )]
    Disabled {
        /// 1: only for privileged processes and a group; 2: for nobody.
        value: u32,
    },
    /// A filter forbids it.
    #[error(
        "io_uring is forbidden for this process (EPERM) although kernel.io_uring_disabled is 0: \
         a seccomp filter does it (this process: Seccomp mode {seccomp}). Docker 25 and \
         containerd 2 do so by default: run with a profile that allows io_uring_setup, \
         io_uring_enter and io_uring_register."
    )]
    Filtered {
        /// `Seccomp` of /proc/self/status.
        seccomp: u32,
    },
    /// A limit is too low.
    #[error(
        "the limit of locked memory is {have} bytes and io_uring needs {MEMLOCK_BYTES_MIN}. Raise \
         it: `ulimit -l 8192`, LimitMEMLOCK=8M in the service file, --ulimit memlock=8388608."
    )]
    Memlock {
        /// The soft limit.
        have: u64,
    },
    /// The kernel is too old for the ring's flags.
    #[error(
        "this kernel ({0}) has io_uring but not the flags weir needs (SINGLE_ISSUER and \
         DEFER_TASKRUN, Linux {KERNEL_MIN}). Use Linux {KERNEL_MIN} or later."
    )]
    Flags(String),
    /// An operation is missing.
    #[error(
        "this kernel ({release}) lacks the io_uring operation {operation}. Use Linux {KERNEL_MIN} \
         or later."
    )]
    Operation {
        /// `uname -r`.
        release: String,
        /// Its name.
        operation: &'static str,
    },
    /// Something else.
    #[error("io_uring_setup fails with errno {errno} on this kernel ({release})")]
    Other {
        /// `uname -r`.
        release: String,
        /// What it said.
        errno: i32,
    },
}

/// Asks the kernel for everything a shard needs.
///
/// # Errors
/// The first thing that is missing.
pub fn check() -> Result<KernelFacts, KernelProblem> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let facts = KernelFacts { release: release.trim().to_owned(), memlock_bytes: memlock_bytes() };
    if let Some(have) = facts.memlock_bytes
        && have < MEMLOCK_BYTES_MIN
    {
        return Err(KernelProblem::Memlock { have });
    }
    let ring = ring::probe().map_err(|e| explain(&e, &facts, &Surroundings::read()))?;
    let mut probe = io_uring::Probe::new();
    let probed = ring.submitter().register_probe(&mut probe);
    probed.map_err(|e| explain(&e, &facts, &Surroundings::read()))?;
    for (code, operation) in OPERATIONS {
        if !probe.is_supported(code) {
            return Err(KernelProblem::Operation { release: facts.release, operation });
        }
    }
    Ok(facts)
}

/// What may forbid io_uring.
#[derive(Clone, Copy, Debug, Default)]
struct Surroundings {
    io_uring_disabled: u32,
    seccomp: u32,
}

impl Surroundings {
    fn read() -> Surroundings {
        let number = |text: &str| text.trim().parse().unwrap_or(0);
        let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        Surroundings {
            io_uring_disabled: disabled.map_or(0, |text| number(&text)),
            seccomp: seccomp.map_or(0, number),
        }
    }
}

fn explain(error: &io::Error, facts: &KernelFacts, around: &Surroundings) -> KernelProblem {
    let release = facts.release.clone();
    match error.raw_os_error().unwrap_or(0) {
        // gVisor and some filters answer so, too; a kernel that knows the sysctl has io_uring.
        libc::ENOSYS => KernelProblem::Missing(release),
        libc::EPERM if around.io_uring_disabled > 0 => {
            KernelProblem::Disabled { value: around.io_uring_disabled }
        }
        libc::EPERM | libc::EACCES => KernelProblem::Filtered { seccomp: around.seccomp },
        libc::ENOMEM => match facts.memlock_bytes {
            Some(have) => KernelProblem::Memlock { have },
            None => KernelProblem::Other { release, errno: libc::ENOMEM },
        },
        libc::EINVAL => KernelProblem::Flags(release),
        errno => KernelProblem::Other { release, errno },
    }
}

fn memlock_bytes() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_the_kernel_has_its_own_explanation() {
        let check = |errno, memlock_bytes, around: Surroundings, expect: &str| {
            let facts = KernelFacts { release: "5.4.0".to_owned(), memlock_bytes };
            let problem = explain(&io::Error::from_raw_os_error(errno), &facts, &around);
            assert!(problem.to_string().contains(expect), "{problem}");
        };
        let free = Surroundings::default();
        let disabled = Surroundings { io_uring_disabled: 2, seccomp: 0 };
        let filtered = Surroundings { io_uring_disabled: 0, seccomp: 2 };
        check(libc::ENOSYS, None, free, "has no io_uring");
        check(libc::EPERM, None, disabled, "kernel.io_uring_disabled = 2");
        check(libc::EPERM, None, filtered, "Seccomp mode 2");
        check(libc::ENOMEM, Some(65_536), free, "locked memory is 65536");
        check(libc::EINVAL, None, free, "SINGLE_ISSUER");
        check(libc::EMFILE, None, free, "errno 24");
    }

    #[test]
    fn this_machine_says_yes_or_why_not() {
        match check() {
            Ok(facts) => assert!(facts.release.contains('.'), "{facts:?}"),
            Err(problem) => assert!(problem.to_string().len() > 40, "{problem}"),
        }
    }
}
