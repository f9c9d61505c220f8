//! What differs from maker to maker (facts of the vendor's `core_manager`).

/// A maker of modems.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Vendor {
    pub(crate) name: &'static str,
    /// Its number on USB.
    pub(crate) usb: &'static str,
    /// What the names of its models begin with.
    pub(crate) models: &'static [&'static str],
    /// Asks how it shows itself on USB.
    pub(crate) mode: &'static str,
    /// The last field of the answer that means an Ethernet device, and what
    /// makes it one.
    pub(crate) ethernet: (&'static str, &'static [&'static str]),
    /// Starts it anew.
    pub(crate) restart: &'static str,
}

pub(crate) static VENDORS: [Vendor; 3] = [
    Vendor {
        name: "Quectel",
        usb: "2c7c",
        models: &["EC", "EG", "BG", "EM", "RM", "RG"],
        mode: "AT+QCFG=\"usbnet\"",
        ethernet: ("1", &["AT+QCFG=\"usbnet\",1"]),
        restart: "AT+CFUN=1,1",
    },
    Vendor {
        name: "Telit",
        usb: "1bc7",
        models: &["LE910", "ME910", "FN980", "LM9"],
        mode: "AT#USBCFG?",
        ethernet: ("4", &["AT#USBCFG=4", "AT#ECM=1,0"]),
        restart: "AT#REBOOT",
    },
    Vendor {
        name: "Thales",
        usb: "1e2d",
        models: &["PLS", "PLPS", "EXS", "TX"],
        // How others read it back was not found.
        mode: "AT^SWWAN?",
        ethernet: ("1", &["AT^SWWAN=1,1"]),
        restart: "AT+CFUN=1,1",
    },
];

/// Who makes this model.
pub(crate) fn of(model: &str) -> Option<&'static Vendor> {
    let made = |vendor: &&Vendor| {
        vendor.models.iter().any(|head| model.starts_with(head))
    };
    VENDORS.iter().find(made)
}
