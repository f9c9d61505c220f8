//! The driver against the simulated instrument, and against lines that say
//! what a test wants.

use std::{
    collections::VecDeque, io, os::unix::fs::symlink, sync::atomic::AtomicBool,
};

use super::*;
use crate::{
    bus::serial::{KernelSerial, SerialLink},
    model::{Generator, Reduction, Slope, Source, Trigger, Wave},
    sim::{
        bitscope_capture::{Signal, Trouble},
        serial::{Pty, SimulatedSerial},
    },
};

fn request(inputs: &[Input]) -> CaptureRequest {
    CaptureRequest {
        inputs: inputs.to_vec(),
        rate: 100e3,
        samples: 1000,
        before: 0,
        range: 11.0,
        mode: None,
        reduction: None,
        block: None,
        trigger: None,
        patience: Duration::from_secs(1),
        generator: None,
    }
}

fn sine() -> Signal {
    Signal::Sine { hertz: 1e3, volts: 2.0, offset: 0.0 }
}

fn simulated(a: Signal, b: Signal) -> (Scope, Arc<Mutex<Simulated>>) {
    let inputs = Inputs { a, b, count_hertz: 10e3 };
    let far = Arc::new(Mutex::new(Simulated::new(inputs)));
    let link = SimulatedSerial::new(Box::new(Arc::clone(&far)));
    (Scope::new(Vm::new(Box::new(link))), far)
}

fn run(
    scope: &mut Scope,
    request: &CaptureRequest,
) -> Result<Capture, CaptureError> {
    let cancelled = AtomicBool::new(false);
    let asked = CaptureAsked { cancelled: &cancelled, progress: &|_| {} };
    scope.capture(request, &asked)
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn extremes(volts: &[f32]) -> (f32, f32) {
    let least = volts.iter().copied().fold(f32::MAX, f32::min);
    (least, volts.iter().copied().fold(f32::MIN, f32::max))
}

#[test]
fn a_sine_comes_back_in_volts_at_its_frequency() {
    let (mut scope, _) = simulated(sine(), Signal::Level(-1.0));
    let capture = run(&mut scope, &request(&[Input::A])).unwrap();
    assert_eq!((&*capture.model, &*capture.mode), ("BS000501", "Analog"));
    let volts = &capture.analog[0].volts;
    let (least, most) = extremes(volts);
    assert!((least + 2.0).abs() < 0.1 && (most - 2.0).abs() < 0.1);
    // 10 periods in 10 ms.
    let crossings = volts.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0);
    assert!((9..=11).contains(&crossings.count()));
    let capture = run(&mut scope, &request(&[Input::B])).unwrap();
    let (least, most) = extremes(&capture.analog[0].volts);
    assert!((least + 1.0).abs() < 0.05 && (most + 1.0).abs() < 0.05);
}

#[test]
fn every_mode_of_the_table_records_what_is_on_its_inputs() {
    let all = |analog: usize, logic: bool| {
        let mut inputs = [Input::A, Input::B][..analog].to_vec();
        inputs.extend((0..8).filter(|_| logic).map(Input::Logic));
        inputs
    };
    let low = Signal::Square { hertz: 5e3, volts: 2.0, offset: 1.0 };
    for mode in &MODES {
        let (mut scope, _) = simulated(low.clone(), Signal::Level(1.5));
        let (slow, fast) = mode.rates();
        let mut wanted = request(&all(mode.analog, mode.logic));
        wanted.mode = Some(mode.name.to_owned());
        wanted.rate = slow.max(50e3).min(fast);
        wanted.samples = mode.depth();
        let capture = run(&mut scope, &wanted).unwrap();
        let name = mode.name;
        assert_eq!(capture.values(), mode.depth() as usize, "{name}");
        assert_eq!(capture.analog.len(), mode.analog, "{name}");
        if mode.analog > 0 {
            let (least, most) = extremes(&capture.analog[0].volts);
            assert!((most - 3.0).abs() < 0.06, "{name}: {most}");
            let high = capture.analog[0].volts.iter().filter(|it| **it > 1.0);
            let part = number(high.count()) / f64::from(mode.depth());
            // Whole periods, or a part of the first half of one.
            assert!(part > 0.4 && part <= 1.0, "{name}: {part}");
            assert!(least > -1.06, "{name}: {least}");
        }
        if mode.analog == 2 {
            let (least, most) = extremes(&capture.analog[1].volts);
            assert!((least - 1.5).abs() < 0.06, "{name}: {least}");
            assert!((most - 1.5).abs() < 0.06, "{name}: {most}");
        }
        assert_eq!(capture.logic.len(), usize::from(mode.logic), "{name}");
        for series in &capture.logic {
            assert_eq!(series.bits.len(), mode.depth() as usize, "{name}");
            let steps = series.bits.windows(2);
            let steps = steps.filter(|w| w[1] == w[0].wrapping_add(1)).count();
            let seconds = f64::from(mode.depth()) / capture.rate;
            let wanted = (seconds * 10e3).floor();
            let off = (number(steps) - wanted).abs();
            assert!(off <= wanted * 0.02 + 1.0, "{name}: {steps} {wanted}");
        }
    }
}

#[test]
fn what_is_sent_can_be_reduced() {
    let inputs = [Input::A];
    let square = Signal::Square { hertz: 1e3, volts: 1.0, offset: 0.0 };
    for (reduction, block, names) in [
        (Reduction::Native, 1, vec!["A"]),
        (Reduction::Summed, 100, vec!["A"]),
        (Reduction::Filter, 100, vec!["A"]),
        (Reduction::MinMax, 100, vec!["A min", "A max"]),
        (Reduction::Span, 100, vec!["A span"]),
    ] {
        let (mut scope, _) = simulated(square.clone(), sine());
        let mut wanted = request(&inputs);
        (wanted.reduction, wanted.block) = (Some(reduction), Some(block));
        let capture = run(&mut scope, &wanted).unwrap();
        let found: Vec<_> =
            capture.analog.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(found, names);
        assert_eq!(capture.values(), (1000 / block) as usize);
        let value = |at: usize| capture.analog[at].volts[0];
        let near = |value: f32, wanted: f32| (value - wanted).abs() < 0.05;
        // A block is one period.
        match reduction {
            Reduction::Native => assert!(near(value(0), 1.0)),
            Reduction::MinMax => {
                assert!(near(value(0), -1.0) && near(value(1), 1.0));
            }
            Reduction::Span => assert!(near(value(0), 2.0)),
            _ => assert!(near(value(0), 0.0), "{reduction:?} {}", value(0)),
        }
    }
    let (mut scope, _) = simulated(sine(), sine());
    let mut wanted = request(&[Input::Logic(0), Input::Logic(1)]);
    wanted.reduction = Some(Reduction::AndOr);
    // The counter counts each 100 µs: a block of 20 samples is two steps.
    wanted.block = Some(20);
    let capture = run(&mut scope, &wanted).unwrap();
    let [all, any] = &capture.logic[..] else { panic!("{capture:?}") };
    assert_eq!((&*all.name, &*any.name), ("all", "any"));
    assert!(all.bits[0] & any.bits[0] == all.bits[0] && all.bits != any.bits);
}

#[test]
fn a_trigger_is_where_it_was_asked_for() {
    for (slope, rises) in [(Slope::Rising, true), (Slope::Falling, false)] {
        let (mut scope, _) = simulated(sine(), sine());
        let mut wanted = request(&[Input::A, Input::B]);
        wanted.before = 300;
        wanted.trigger = Some(Trigger {
            source: Source::Analog(Input::B, 1.0),
            slope,
            filter: 4,
            delay_us: 0,
            automatic: false,
        });
        let capture = run(&mut scope, &wanted).unwrap();
        assert!(capture.triggered);
        assert_eq!(capture.trigger, 300);
        let volts = &capture.analog[1].volts;
        let (early, late) = (volts[297], volts[303]);
        assert_eq!(early < 1.0, rises, "{slope:?}: {early}");
        assert_eq!(late > 1.0, rises, "{slope:?}: {late}");
    }
    // A pattern on logic inputs: the counter at 5 in its lowest three bits.
    let (mut scope, _) = simulated(sine(), sine());
    let mut wanted = request(&[Input::Logic(0), Input::Logic(2)]);
    wanted.before = 100;
    let mut pattern = [None; 8];
    (pattern[5], pattern[6], pattern[7]) =
        (Some(true), Some(false), Some(true));
    wanted.trigger = Some(Trigger {
        source: Source::Pattern(pattern),
        slope: Slope::Rising,
        filter: 1,
        delay_us: 0,
        automatic: false,
    });
    let capture = run(&mut scope, &wanted).unwrap();
    let bits = &capture.logic[0].bits;
    assert_ne!(bits[99] & 7, 5);
    assert_eq!(bits[100] & 7, 5);
    // 1 ms later the counter is ten steps further.
    wanted.before = 0;
    let trigger = wanted.trigger.as_mut().unwrap();
    trigger.delay_us = 1000;
    let capture = run(&mut scope, &wanted).unwrap();
    assert_eq!(capture.logic[0].bits[0] & 7, (5 + 10) & 7);
}

#[test]
fn what_does_not_come_is_not_waited_for_and_can_be_cancelled() {
    let (mut scope, far) = simulated(Signal::Level(0.0), sine());
    let mut wanted = request(&[Input::A]);
    wanted.trigger = Some(Trigger {
        source: Source::Analog(Input::A, 5.0),
        slope: Slope::Rising,
        filter: 2,
        delay_us: 0,
        automatic: false,
    });
    // The instrument's own time-out, and ours.
    for patience in [100, 450] {
        wanted.patience = Duration::from_millis(patience);
        let error = run(&mut scope, &wanted).unwrap_err();
        assert!(matches!(error, CaptureError::NoTrigger(_)), "{error}");
    }
    wanted.trigger.as_mut().unwrap().automatic = true;
    let capture = run(&mut scope, &wanted).unwrap();
    assert!(!capture.triggered);
    assert_eq!(capture.values(), 1000);
    let cancelled = AtomicBool::new(true);
    let asked = CaptureAsked { cancelled: &cancelled, progress: &|_| {} };
    wanted.patience = Duration::from_mins(1);
    let error = scope.capture(&wanted, &asked).unwrap_err();
    assert!(matches!(error, CaptureError::Cancelled), "{error}");
    // It is there for the next one.
    wanted.trigger = None;
    run(&mut scope, &wanted).unwrap();
    // One that cannot be stopped is reset.
    far.lock().unwrap().trouble = Some(Trouble::Stuck);
    wanted.patience = Duration::ZERO;
    let error = run(&mut scope, &wanted).unwrap_err().to_string();
    assert!(error.contains("within 1000 ms of `D`"), "{error}");
    far.lock().unwrap().trouble = None;
    run(&mut scope, &wanted).unwrap();
}

#[test]
fn the_generator_is_heard_where_it_is_looped_back() {
    for (wave, half) in [(Wave::Sine, 0.1), (Wave::Square, 1.0)] {
        let (mut scope, _) = simulated(Signal::Generator, sine());
        let mut wanted = request(&[Input::A]);
        wanted.generator = Some(Generator::On {
            wave,
            hertz: 2e3,
            volts: 2.0,
            offset: 0.25,
            duty: 50.0,
        });
        let capture = run(&mut scope, &wanted).unwrap();
        let volts = &capture.analog[0].volts;
        let (least, most) = extremes(volts);
        assert!((least - 0.915).abs() < 0.1, "{wave:?}: {least}");
        assert!((most - 2.915).abs() < 0.1, "{wave:?}: {most}");
        let crossings = volts.windows(2).filter(|w| w[0] < 1.9 && w[1] >= 1.9);
        assert!((19..=21).contains(&crossings.count()), "{wave:?}");
        let top = volts.iter().filter(|it| **it > 2.7).count();
        assert!(number(top) > half * 400.0, "{wave:?}: {top}");
        // It goes on until it is told to stop.
        wanted.generator = None;
        let capture = run(&mut scope, &wanted).unwrap();
        assert!(extremes(&capture.analog[0].volts).1 > 2.0);
        wanted.generator = Some(Generator::Off);
        let capture = run(&mut scope, &wanted).unwrap();
        assert!(extremes(&capture.analog[0].volts).1 < 0.1);
    }
}

#[test]
fn values_that_cannot_be_are_named_with_what_could_be() {
    type Change = fn(&mut CaptureRequest);
    let cases: [(Change, &str); 9] = [
        (|it| it.inputs.clear(), "`Channels` is empty; name some of A, B"),
        (|it| it.rate = 30e6, "`SampleRateHz` is 30000000; 61.0352 to"),
        (|it| it.rate = 30e6, "8000000 to 20000000 in mode AnalogShot"),
        (|it| it.samples = 12289, "`Samples` is 12289; mode Analog has 1 to"),
        (|it| it.range = 2.0, "`RangeVolts` is 2; one of 1.1, 3.5, 5.2, 11"),
        (|it| it.before = 10, "`PreTriggerSamples` is 10; 0 without a trigger"),
        (
            |it| it.mode = Some("LogicShot".into()),
            "`TraceMode` is LogicShot; it records 0 analog channels and logic",
        ),
        (
            |it| {
                (it.rate, it.before) = (10e6, 10);
                it.trigger = Some(Trigger {
                    source: Source::Analog(Input::A, 0.0),
                    slope: Slope::Rising,
                    filter: 2,
                    delay_us: 0,
                    automatic: false,
                });
            },
            "above 5000000 nothing is kept before the trigger",
        ),
        (
            |it| it.reduction = Some(Reduction::AndOr),
            "`DumpMode` is AndOr; Raw, Native, Summed, MinMax, Filter or Span",
        ),
    ];
    for (change, said) in cases {
        let mut wanted = request(&[Input::A]);
        change(&mut wanted);
        let error = plan::Plan::new(&wanted, "BS000501").unwrap_err();
        let error = error.to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// A line on which a test says what comes back.
#[derive(Debug, Default)]
struct Script {
    sent: Arc<Mutex<Vec<u8>>>,
    /// What comes back after the next write, and so on.
    answers: VecDeque<Vec<u8>>,
    waiting: VecDeque<u8>,
}

impl SerialLink for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sent.lock().unwrap().extend(bytes);
        self.waiting.extend(self.answers.pop_front().unwrap_or_default());
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<usize> {
        let count = self.waiting.len().min(buffer.len());
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

#[test]
fn each_byte_has_to_come_back() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let script = |answers: &[&[u8]]| {
        let answers = answers.iter().map(|it| it.to_vec()).collect();
        let sent = Arc::clone(&sent);
        let waiting = VecDeque::new();
        Vm::new(Box::new(Script { sent, answers, waiting }))
    };
    // What was under way is heard out before the reset is answered.
    let mut vm = script(&[b"\x00\x7f02\r!", b"?\rBS000501\r"]);
    assert_eq!(vm.identify().unwrap(), "BS000501");
    assert_eq!(*sent.lock().unwrap(), b"!?");
    sent.lock().unwrap().clear();
    let mut vm = script(&[b"[2e]@[28]z[00]s", b">", b"U"]);
    vm.set(&[(register::CLOCK_TICKS, 40)], ">U").unwrap();
    assert_eq!(*sent.lock().unwrap(), b"[2e]@[28]z[00]s>U");

    for (answers, said) in [
        (&[&b""[..]][..], "nothing came back within 1000 ms of `!`"),
        (&[b"!", b"?\rBS99\r"], "`BS99` is no answer to `?`"),
        (&[b"!", b"x"], "`x` came back instead of `?`"),
        (&[b"!", b"?\r\xff\xff\r"], "is no answer to `?`"),
        (&[b"!", b"?\rBS0005"], "`BS0005` is no answer to `?`"),
    ] {
        let error = script(answers).identify().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let mut vm = script(&[b"A", b"\x01\x02"]);
    vm.issue(b"A").unwrap();
    let error = vm.bytes(4).unwrap_err().to_string();
    assert_eq!(error, "0 bytes of 4 came");
}

#[test]
fn an_instrument_that_misbehaves_is_told_of_and_comes_back() {
    for (trouble, said) in [
        (Trouble::Silent, "nothing came back within 1000 ms"),
        (Trouble::WrongEcho, "came back instead of `[21]@"),
        (Trouble::ShortDump(3), "997 bytes of 1000 came"),
        (Trouble::Garbage, "is no answer to `D`"),
    ] {
        let (mut scope, far) = simulated(sine(), sine());
        let wanted = request(&[Input::A]);
        run(&mut scope, &wanted).unwrap();
        far.lock().unwrap().trouble = Some(trouble);
        let error = run(&mut scope, &wanted).unwrap_err().to_string();
        assert!(error.contains(said), "{trouble:?}: {error}");
        far.lock().unwrap().trouble = None;
        run(&mut scope, &wanted).unwrap();
    }
    let (mut scope, far) = simulated(sine(), sine());
    far.lock().unwrap().identity = "BS032500".to_owned();
    let error = scope.identity().unwrap_err().to_string();
    assert!(error.contains("`BS032500`: no instrument"), "{error}");
}

#[test]
fn speaks_through_a_tty_and_survives_that_it_is_unplugged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ttyUSB0");
    let plug = || {
        let far = Simulated::new(Inputs { a: sine(), ..Inputs::default() });
        let pty = Pty::serve(Box::new(far)).unwrap();
        symlink(pty.path(), &file).unwrap();
        pty
    };
    let pty = plug();
    let link = KernelSerial::new(&file, 115_200);
    let mut scope = Scope::new(Vm::new(Box::new(link)));
    let wanted = request(&[Input::A]);
    run(&mut scope, &wanted).unwrap();
    drop(pty);
    let error = run(&mut scope, &wanted).unwrap_err().to_string();
    assert!(error.contains("the line is not there"), "{error}");
    std::fs::remove_file(&file).unwrap();
    assert!(run(&mut scope, &wanted).is_err());
    let _pty = plug();
    let capture = run(&mut scope, &wanted).unwrap();
    assert!(extremes(&capture.analog[0].volts).1 > 1.8);
}
