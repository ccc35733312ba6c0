//! Which packets a VRRP socket lets in: a program in the kernel's classic packet filter language
//! (`bpf(4)`, Linux' `Documentation/networking/filter.rst`), so that other virtual routers on
//! the segment cost nothing.

use nix::libc;
use socket2::SockFilter;

use crate::model::{Family, Vrid};

/// Where the VRID stands in a VRRP message (RFC 9568 section 5.1).
const VRID_AT: u32 = 1;

/// Lets in what names one of `routers`; whether it is valid otherwise is for the engine to say
/// and to count.
pub(crate) fn program(family: Family, routers: &[Vrid]) -> Vec<SockFilter> {
    let statement = |code, k| SockFilter::new(code, 0, 0, k);
    let mut program = match family {
        // The packet starts with an IP header of variable length, which goes into X.
        Family::V4 => vec![
            statement(code(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH), 0),
            statement(code(libc::BPF_LD | libc::BPF_B | libc::BPF_IND), VRID_AT),
        ],
        // The packet starts with the VRRP message.
        Family::V6 => vec![statement(code(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS), VRID_AT)],
    };
    for router in routers {
        // Equal: on to the next statement, which takes the whole packet. Otherwise past it.
        let equal = code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
        program.push(SockFilter::new(equal, 0, 1, router.get().into()));
        program.push(statement(code(libc::BPF_RET | libc::BPF_K), u32::MAX));
    }
    program.push(statement(code(libc::BPF_RET | libc::BPF_K), 0));
    program
}

/// The kernel's opcodes have 16 bits; libc's constants are wider.
fn code(opcode: u32) -> u16 {
    u16::try_from(opcode).unwrap_or(u16::MAX)
}
