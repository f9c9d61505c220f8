//! Quantities: numbers that know their unit.

/// What a sensor measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SensorKind {
    /// Degrees Celsius.
    Temperature,
    /// Revolutions a minute.
    Rotation,
    /// A share of a whole, such as fan duty or charge.
    Percent,
    /// Volts.
    Voltage,
    /// Amperes.
    Current,
    /// Watts.
    Power,
    /// Hertz.
    Frequency,
    /// Seconds, of one clock before another.
    Offset,
    /// The power of a radio signal, in decibels above a milliwatt.
    Signal,
}

macro_rules! quantities {
    ($($(#[$doc:meta])* $name:ident: $kind:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
            pub struct $name(pub f64);

            impl From<$name> for Quantity {
                fn from(quantity: $name) -> Self {
                    Self { kind: SensorKind::$kind, value: quantity.0 }
                }
            }
        )*
    };
}

quantities! {
    /// A temperature.
    Celsius: Temperature;
    /// A rotational speed.
    Rpm: Rotation;
    /// A share of a whole.
    Percent: Percent;
    /// A voltage.
    Volts: Voltage;
    /// A current.
    Amperes: Current;
    /// A power.
    Watts: Power;
    /// A frequency.
    Hertz: Frequency;
    /// How far one clock is ahead of another.
    Seconds: Offset;
}

/// A number with what it measures; made from one of the typed quantities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    kind: SensorKind,
    value: f64,
}

impl Quantity {
    /// The quantity of `kind` with `value` in that kind's unit.
    #[must_use]
    pub fn new(kind: SensorKind, value: f64) -> Self {
        Self { kind, value }
    }

    /// What is measured.
    #[must_use]
    pub fn kind(self) -> SensorKind {
        self.kind
    }

    /// The number, in the kind's unit.
    #[must_use]
    pub fn value(self) -> f64 {
        self.value
    }
}

impl SensorKind {
    /// The unit in UCUM, as Redfish writes it.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Temperature => "Cel",
            Self::Rotation => "{rev}/min",
            Self::Percent => "%",
            Self::Voltage => "V",
            Self::Current => "A",
            Self::Power => "W",
            Self::Frequency => "Hz",
            Self::Offset => "s",
            Self::Signal => "dB[mW]",
        }
    }
}
