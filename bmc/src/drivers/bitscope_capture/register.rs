//! The registers of the virtual machine (VM01B, "Registers").

/// A register: the address of its lowest byte, and how many bytes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Register(pub(crate) u8, pub(crate) u8);

macro_rules! registers {
    ($($name:ident = $address:literal, $bytes:literal;)*) => {
        $(pub(crate) const $name: Register = Register($address, $bytes);)*
    };
}

registers! {
    TRIGGER_LOGIC = 0x05, 1;
    // 1 = nobody cares, as the specification's example has it; its table says
    // the opposite.
    TRIGGER_MASK = 0x06, 1;
    SPOCK_OPTION = 0x07, 1;
    SAMPLE_ADDRESS = 0x08, 3;
    CLOCK_SCALE = 0x14, 2;
    DUMP_REPEAT = 0x16, 2;
    DUMP_SEND = 0x18, 2;
    DUMP_SKIP = 0x1a, 2;
    DUMP_COUNT = 0x1c, 2;
    DUMP_MODE = 0x1e, 1;
    TRACE_MODE = 0x21, 1;
    TRACE_DELAY = 0x22, 4;
    TRACE_INTRO = 0x26, 2;
    TRACE_OUTRO = 0x2a, 2;
    TIMEOUT = 0x2c, 2;
    CLOCK_TICKS = 0x2e, 2;
    DUMP_CHANNEL = 0x30, 1;
    BUFFER_MODE = 0x31, 1;
    TRIGGER_INTRO = 0x32, 2;
    TRIGGER_OUTRO = 0x34, 2;
    ANALOG_ENABLE = 0x37, 1;
    DIGITAL_ENABLE = 0x38, 1;
    PRELUDE = 0x3a, 2;
    GENERATOR_COMMAND = 0x46, 1;
    GENERATOR_MODE = 0x47, 1;
    GENERATOR_OPTION = 0x48, 2;
    GENERATOR_SIZE = 0x4a, 2;
    GENERATOR_INDEX = 0x4c, 2;
    GENERATOR_ADDRESS = 0x4e, 2;
    GENERATOR_CLOCK = 0x50, 2;
    GENERATOR_MODULO = 0x52, 2;
    GENERATOR_LEVEL = 0x54, 2;
    GENERATOR_OFFSET = 0x56, 2;
    GENERATOR_RATIO = 0x5a, 4;
    GENERATOR_MARK = 0x5e, 2;
    GENERATOR_SPACE = 0x60, 2;
    CONVERTER_LOW = 0x64, 2;
    CONVERTER_HIGH = 0x66, 2;
    TRIGGER_LEVEL = 0x68, 2;
    GENERATOR_REST = 0x78, 2;
    KITCHEN_SINK_A = 0x7b, 1;
    KITCHEN_SINK_B = 0x7c, 1;
}

/// [`SPOCK_OPTION`]: the trigger is the other way round.
pub(crate) const INVERT: u8 = 1 << 6;
/// [`SPOCK_OPTION`]: the source is the input B.
pub(crate) const SOURCE_B: u8 = 1 << 2;
/// [`SPOCK_OPTION`]: the comparators decide, not the samples.
pub(crate) const COMPARATOR: u8 = 1;
/// [`KITCHEN_SINK_A`]: the comparator of the input A is the logic input 7.
pub(crate) const COMPARATOR_A: u8 = 1 << 7;
/// [`KITCHEN_SINK_A`]: the comparator of the input B is the logic input 6.
pub(crate) const COMPARATOR_B: u8 = 1 << 6;
/// [`KITCHEN_SINK_B`]: the anti-aliasing filter.
pub(crate) const FILTER: u8 = 1 << 7;
/// [`KITCHEN_SINK_B`]: the generator has its pin.
pub(crate) const GENERATOR: u8 = 1 << 6;
