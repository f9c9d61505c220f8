//! What comes from neighbours on a network, from parts at the end of a line,
//! and from consoles: whatever it is, the agent does not panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| onprem_bmc::strangers::read(input));
