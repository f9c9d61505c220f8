//! For `bmc/fuzz`: bytes of strangers, read as the agent reads what neighbours
//! on a network, parts at the end of a line, and consoles say.

use std::{io, time::Duration};

use crate::{
    bus::serial::SerialLink,
    console, discovery,
    drivers::{bitscope, modem},
    fabric::lldp,
};

/// How many kinds of strangers there are.
const KINDS: u8 = 5;

/// Reads what follows the first byte of `input`, which says what it is. It
/// may be wrong in any way, but nothing in here panics or waits.
pub fn read(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    match kind % KINDS {
        0 => neighbour(bytes),
        1 => discovery::hear(&mut bytes.to_vec()),
        2 => bitscope::converse(Babble::line(bytes)),
        3 => modem::converse(Babble::line(bytes)),
        _ => console::look_back(bytes),
    }
}

/// What is heard can be said again, and is then heard.
fn neighbour(frame: &[u8]) {
    if let Ok(heard) = lldp::parse(frame) {
        let again = lldp::build([2; 6], &heard.says, heard.seconds);
        lldp::parse(&again).expect("as it was");
    }
}

/// A line whose far end says the same, whatever it is asked: a length, and so
/// many bytes in one go, until there are no more.
#[derive(Debug)]
struct Babble(Vec<u8>);

impl Babble {
    fn line(bytes: &[u8]) -> Box<dyn SerialLink> {
        Box::new(Self(bytes.to_vec()))
    }
}

impl SerialLink for Babble {
    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<usize> {
        let Some(length) = self.0.first().map(|it| usize::from(*it)) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let count = length.min(self.0.len() - 1).min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.0.drain(..=count).skip(1))
        {
            *to = from;
        }
        Ok(count)
    }

    fn clear(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[test]
    fn what_the_fuzzer_begins_with_is_read() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/stranger");
        let seeds = fs::read_dir(Path::new(seeds)).unwrap();
        let mut kinds = Vec::new();
        for seed in seeds {
            let seed = fs::read(seed.unwrap().path()).unwrap();
            super::read(&seed);
            kinds.push(seed[0] % super::KINDS);
        }
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds, [0, 1, 2, 3, 4]);
    }
}
