//! Address: which host, as whom, and which folder of it?
//!
//! `ssh://[user@]host[:port][/folder]`. The parts become arguments of `ssh`, so that nothing in them
//! may be taken for an option.
//! Source: contract, "`ssh://user@host[:port]`".

use std::str::FromStr;

/// A host to log in to because the operator said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Who logs in; what the operator's `ssh` says where none is given.
    pub user: Option<String>,
    /// A name, an alias of the operator's configuration, or an address.
    pub host: String,
    /// The port, if it is not 22.
    pub port: Option<u16>,
    /// The folder on the host that is the root of the evidence, without a slash at its end.
    pub folder: String,
}

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It does not begin with `ssh://`.
    #[error("write it as ssh://user@host:port/folder")]
    Scheme,
    /// A part is empty, begins with a hyphen, or holds what no name holds.
    #[error("user and host are made of letters, digits and .-_:%")]
    Part,
    /// The port is no number up to 65535.
    #[error("the port is no number up to 65535")]
    Port,
    /// A password does not belong on a command line or into a file.
    #[error("a password does not belong here; use a key or an agent")]
    Password,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let rest = text.strip_prefix("ssh://").ok_or(AddressError::Scheme)?;
        let (authority, folder) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err(AddressError::Password),
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (host, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(AddressError::Port)?)),
            None => match host.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host, None),
            },
        };
        let port = port.map(|port| port.parse().map_err(|_| AddressError::Port)).transpose()?;
        if !is_word(host) || user.is_some_and(|user| !is_word(user)) {
            return Err(AddressError::Part);
        }
        Ok(Self {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            folder: folder.trim_end_matches('/').to_owned(),
        })
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && !word.starts_with('-') && word.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:%".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match text.parse::<Address>() {
            Ok(Address { user, host, port, folder }) => {
                format!("{} {host} {} {folder}", user.unwrap_or_default(), port.unwrap_or_default())
            }
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_address_is_taken_apart_as_people_write_it() {
        check("ssh://root@vpn1", "root vpn1 0 ");
        check("ssh://vpn1:2222/data/root/", " vpn1 2222 /data/root");
        check("ssh://root@[2001:db8::7]:22", "root 2001:db8::7 22 ");
    }

    #[test]
    fn nothing_in_an_address_becomes_an_option_of_ssh() {
        check("ssh://-oProxyCommand=sh", "Part");
        check("ssh://-l@vpn1", "Part");
        check("ssh://a b", "Part");
        check("ssh://$(id)", "Part");
        check("ssh://", "Part");
        check("http://vpn1", "Scheme");
        check("ssh://root:secret@vpn1", "Password");
        check("ssh://vpn1:99999", "Port");
    }
}
