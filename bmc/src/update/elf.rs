//! Which machine an executable is for (ELF, "ELF Header").

/// The name of the architecture the program in `head` is for, as Rust calls
/// it; nothing where it is no executable that we know.
#[must_use]
pub fn architecture(head: &[u8]) -> Option<&'static str> {
    let ident = head.get(..16)?;
    if !ident.starts_with(b"\x7fELF") {
        return None;
    }
    let (class, order) = (*ident.get(4)?, *ident.get(5)?);
    let half = |at: usize| -> Option<u16> {
        let bytes: [u8; 2] = head.get(at..at + 2)?.try_into().ok()?;
        Some(match order {
            2 => u16::from_be_bytes(bytes),
            _ => u16::from_le_bytes(bytes),
        })
    };
    // Executables, and shared objects, which position-independent
    // executables are.
    if !matches!(half(16)?, 2 | 3) {
        return None;
    }
    match (half(18)?, class, order) {
        (62, 2, 1) => Some("x86_64"),
        (183, 2, 1) => Some("aarch64"),
        (40, 1, 1) => Some("arm"),
        (3, 1, 1) => Some("x86"),
        (243, 2, 1) => Some("riscv64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_program_is_for_this_machine() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(architecture(&program), Some(std::env::consts::ARCH));
        assert_eq!(architecture(program.get(..19).unwrap()), None);
        assert_eq!(architecture(b"#!/bin/sh\n# a script, no program"), None);
    }
}
