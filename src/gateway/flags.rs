//! Envoy's response flags: why a reply is not simply the upstream's.

/// A set of flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Flags(u16);

impl Flags {
    pub(super) const NO_HEALTHY_UPSTREAM: Self = Self(1);
    pub(super) const CONNECTION_FAILURE: Self = Self(1 << 1);
    pub(super) const CONNECTION_TERMINATION: Self = Self(1 << 2);
    pub(super) const REMOTE_RESET: Self = Self(1 << 3);
    pub(super) const PROTOCOL_ERROR: Self = Self(1 << 4);
    pub(super) const RETRY_LIMIT: Self = Self(1 << 5);
    pub(super) const TIMEOUT: Self = Self(1 << 6);
    pub(super) const NO_ROUTE: Self = Self(1 << 7);
    pub(super) const NO_CLUSTER: Self = Self(1 << 8);
    pub(super) const DELAY_INJECTED: Self = Self(1 << 9);
    pub(super) const FAULT_INJECTED: Self = Self(1 << 10);
    pub(super) const CLIENT_GONE: Self = Self(1 << 11);

    /// The order in which Envoy prints them.
    const NAMES: [(Self, &'static str); 12] = [
        (Self::NO_HEALTHY_UPSTREAM, "UH"),
        (Self::CONNECTION_FAILURE, "UF"),
        (Self::NO_ROUTE, "NR"),
        (Self::RETRY_LIMIT, "URX"),
        (Self::CLIENT_GONE, "DC"),
        (Self::TIMEOUT, "UT"),
        (Self::REMOTE_RESET, "UR"),
        (Self::CONNECTION_TERMINATION, "UC"),
        (Self::DELAY_INJECTED, "DI"),
        (Self::FAULT_INJECTED, "FI"),
        (Self::PROTOCOL_ERROR, "UPE"),
        (Self::NO_CLUSTER, "NC"),
    ];

    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl std::fmt::Display for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut first = true;
        for (flag, name) in Self::NAMES {
            if self.0 & flag.0 != 0 {
                f.write_str(if first { "" } else { "," })?;
                f.write_str(name)?;
                first = false;
            }
        }
        f.write_str(if first { "-" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_like_envoy() {
        let mut flags = Flags::default();
        assert_eq!(flags.to_string(), "-");
        flags.add(Flags::RETRY_LIMIT);
        flags.add(Flags::CONNECTION_FAILURE);
        assert_eq!(flags.to_string(), "UF,URX");
    }
}
