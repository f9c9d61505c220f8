//! Buses that say again what was recorded.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::{
    i2c::{Call, SmBus},
    record::{Line, What},
    serial::SerialLink,
};

/// `EREMOTEIO`: nobody answers.
pub(super) const REMOTE_IO: i32 = 121;

/// A recording to be played back. Cheap to clone: all buses that play it back
/// share what it says, and differ in how far they are.
#[derive(Clone, Debug, Default)]
pub struct Recording(Arc<BTreeMap<String, Arc<Tape>>>);

/// What was said on a bus.
#[derive(Debug, Default)]
struct Tape {
    parts: BTreeMap<u8, Spoken>,
    line: Heard,
}

/// What a part answered, or how that failed (`errno`).
type Said = Result<Vec<u8>, i32>;

/// What was said with a part: dialogues, of which each but the first begins
/// with something that is written to it. What it answers depends on that: a
/// chip with several inputs, a clock that was set, a UPS that was asked.
#[derive(Debug, Default)]
struct Spoken {
    first: Dialogue,
    /// By what they begin with, one after the other.
    others: HashMap<Call, Vec<Dialogue>>,
    /// The one that is being recorded.
    last: Option<Call>,
    /// To each call, the first answer that it ever got.
    asked: HashMap<Call, Said>,
}

#[derive(Debug)]
struct Dialogue {
    begun: Said,
    /// To each call, one after the other.
    answers: HashMap<Call, Vec<Said>>,
}

impl Default for Dialogue {
    fn default() -> Self {
        Self { begun: Ok(Vec::new()), answers: HashMap::new() }
    }
}

impl Spoken {
    fn add(&mut self, call: Call, said: Said) {
        if call.begins() {
            let dialogue = Dialogue { begun: said, ..Dialogue::default() };
            self.others.entry(call.clone()).or_default().push(dialogue);
            self.last = Some(call);
            return;
        }
        let others = &mut self.others;
        let last = self.last.as_ref().and_then(|it| others.get_mut(it));
        let last = last.and_then(|all| all.last_mut());
        let dialogue = last.unwrap_or(&mut self.first);
        self.asked.entry(call.clone()).or_insert_with(|| said.clone());
        dialogue.answers.entry(call).or_default().push(said);
    }

    /// What was once written that is most like `call`: to the same register,
    /// as long, with the longest beginning in common.
    fn like(&self, call: &Call) -> Option<&Call> {
        let alike = |other: &Call| {
            let (ours, theirs) = (call.written(), other.written());
            let both = ours.iter().zip(&theirs);
            let common = both.take_while(|(a, b)| a == b).count();
            let fits = std::mem::discriminant(call)
                == std::mem::discriminant(other)
                && ours.len() == theirs.len()
                && (common > 0 || matches!(call, Call::SendByte(_)));
            fits.then_some(common)
        };
        let all = self.others.keys().filter_map(|it| Some((alike(it)?, it)));
        all.max_by_key(|(common, it)| (*common, it.written())).map(|it| it.1)
    }
}

/// What was said on a serial line: to all that was sent, what came until the
/// next was.
#[derive(Debug, Default)]
struct Heard {
    first: Vec<u8>,
    answers: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    last: Vec<u8>,
}

impl Heard {
    fn send(&mut self, sent: Vec<u8>) {
        self.answers.entry(sent.clone()).or_default().push(Vec::new());
        self.last = sent;
    }

    fn get(&mut self, got: Vec<u8>) {
        let answers = self.answers.get_mut(&self.last);
        let answer = answers.and_then(|answers| answers.last_mut());
        answer.unwrap_or(&mut self.first).extend(got);
    }
}

impl Tape {
    fn add(&mut self, what: What) {
        let (part, call, said) = match what {
            What::Answered { part, call, answer } => (part, call, Ok(answer)),
            What::Failed { part, call, errno } => (part, call, Err(errno)),
            What::Sent { sent } => return self.line.send(sent),
            What::Got { got } => return self.line.get(got),
        };
        self.parts.entry(part).or_default().add(call, said);
    }
}

impl Recording {
    /// The recording in the file at `path`.
    ///
    /// # Errors
    /// What the file system said, or the line that is none of a recording.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut tapes: BTreeMap<String, Tape> = BTreeMap::new();
        let file = BufReader::new(File::open(path)?);
        for (at, line) in file.lines().enumerate() {
            let line: Line = serde_json::from_str(&line?).map_err(|error| {
                let reason = format!("line {}: {error}", at + 1);
                io::Error::new(io::ErrorKind::InvalidData, reason)
            })?;
            tapes.entry(line.bus).or_default().add(line.what);
        }
        let shared = tapes.into_iter().map(|(bus, tape)| (bus, Arc::new(tape)));
        Ok(Self(Arc::new(crate::gather::map(shared))))
    }

    /// The buses that something was said on.
    pub fn buses(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn tape(&self, bus: &str) -> Arc<Tape> {
        self.0.get(bus).cloned().unwrap_or_default()
    }

    /// The I²C bus that the recording calls `bus`. Each part answers each call
    /// as it did after the same was written to it, one answer after the other,
    /// over and over. What was never asked is not answered; what was never
    /// written is taken, if something like it was, and read back as such.
    #[must_use]
    pub fn i2c(&self, bus: &str) -> Box<dyn SmBus> {
        let parts = BTreeMap::new();
        Box::new(ReplayedI2c { tape: self.tape(bus), parts })
    }

    /// The serial line that the recording calls `bus`: what was got after
    /// something was sent comes again when that is sent again.
    #[must_use]
    pub fn serial(&self, bus: &str) -> Box<dyn SerialLink> {
        let tape = self.tape(bus);
        let waiting = tape.line.first.iter().copied().collect();
        Box::new(ReplayedSerial { tape, turns: HashMap::new(), waiting })
    }
}

/// Which of `all` is next; over and over.
fn next<'a, T>(all: &'a [T], turn: &mut usize) -> Option<&'a T> {
    let now = all.get(*turn);
    *turn = if *turn + 1 < all.len() { *turn + 1 } else { 0 };
    now
}

#[derive(Debug)]
struct ReplayedI2c {
    tape: Arc<Tape>,
    parts: BTreeMap<u8, Playing>,
}

/// How far what was said with a part is.
#[derive(Debug, Default)]
struct Playing {
    /// What its dialogue began with, and which of those that did it is.
    begun: Option<(Call, usize)>,
    /// How far the answers of the dialogue are.
    turns: HashMap<Call, usize>,
    /// How many dialogues began with each.
    begins: HashMap<Call, usize>,
    /// What was written and never had been, by its register.
    written: HashMap<u8, Vec<u8>>,
}

impl Playing {
    fn begin(&mut self, spoken: &Spoken, call: &Call) -> Said {
        let exact = spoken.others.contains_key(call);
        let like = if exact { Some(call) } else { spoken.like(call) };
        let written = call.written();
        if let Some((register, bytes)) = written.split_first() {
            self.written.remove(register);
            if !exact {
                self.written.insert(*register, bytes.to_vec());
            }
        }
        let Some((like, all)) =
            like.and_then(|it| Some((it, spoken.others.get(it)?)))
        else {
            // A part that was there takes it.
            let there = spoken.asked.values().any(Result::is_ok);
            return if there { Ok(Vec::new()) } else { Err(REMOTE_IO) };
        };
        let turn = self.begins.entry(like.clone()).or_default();
        let at = *turn;
        let dialogue = next(all, turn);
        self.begun = Some((like.clone(), at));
        self.turns.clear();
        dialogue.map_or(Err(REMOTE_IO), |it| it.begun.clone())
    }

    fn answer(&mut self, spoken: &Spoken, call: &Call) -> Said {
        if let Call::ReadByte(register)
        | Call::ReadWord(register)
        | Call::ReadBlock(register, _) = call
            && let Some(bytes) = self.written.get(register)
            && bytes.len() == call.answer_length()
        {
            return Ok(bytes.clone());
        }
        let begun = self.begun.as_ref();
        let dialogue =
            begun.and_then(|(it, at)| spoken.others.get(it)?.get(*at));
        let dialogue = dialogue.unwrap_or(&spoken.first);
        let said = dialogue.answers.get(call).and_then(|all| {
            next(all, self.turns.entry(call.clone()).or_default())
        });
        let said = said.or_else(|| spoken.asked.get(call));
        said.cloned().unwrap_or(Err(REMOTE_IO))
    }
}

impl SmBus for ReplayedI2c {
    fn call(&mut self, address: u8, call: &Call) -> io::Result<Vec<u8>> {
        let nobody = || io::Error::from_raw_os_error(REMOTE_IO);
        let spoken = self.tape.parts.get(&address).ok_or_else(nobody)?;
        let playing = self.parts.entry(address).or_default();
        let said = if call.begins() {
            playing.begin(spoken, call)
        } else {
            playing.answer(spoken, call)
        };
        said.map_err(io::Error::from_raw_os_error)
    }
}

#[derive(Debug)]
struct ReplayedSerial {
    tape: Arc<Tape>,
    turns: HashMap<Vec<u8>, usize>,
    waiting: VecDeque<u8>,
}

impl SerialLink for ReplayedSerial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self { tape, turns, waiting } = self;
        if let Some(answers) = tape.line.answers.get(bytes) {
            let turn = turns.entry(bytes.to_vec()).or_default();
            waiting.extend(next(answers, turn).into_iter().flatten());
        }
        Ok(())
    }

    fn read(
        &mut self,
        buffer: &mut [u8],
        patience: Duration,
    ) -> io::Result<usize> {
        if self.waiting.is_empty() {
            super::pause(patience);
        }
        let count = buffer.len().min(self.waiting.len());
        for (to, from) in buffer.iter_mut().zip(self.waiting.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.waiting.clear();
        Ok(())
    }
}
