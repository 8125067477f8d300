//! Status: which packages are installed, in which version, with which configuration files?
//!
//! Source: `deb822(5)`; dpkg's own fields `Status` and `Conffiles`.

/// An installed package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) architecture: String,
    pub(crate) version: String,
    /// Absolute paths with the MD5 of the shipped content.
    pub(crate) conffiles: Vec<(Vec<u8>, [u8; 16])>,
}

/// The installed packages, and the number of the first line that cannot be read.
///
/// Installed and half-configured packages have their files on disk; the others do not.
pub(crate) fn parse(bytes: &[u8]) -> (Vec<Package>, Option<usize>) {
    let mut packages = Vec::new();
    let mut broken = None;
    let mut paragraph = Paragraph::default();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            packages.extend(std::mem::take(&mut paragraph).finish());
        } else if !paragraph.line(line) {
            broken.get_or_insert(number + 1);
        }
    }
    packages.extend(paragraph.finish());
    (packages, broken)
}

#[derive(Default)]
struct Paragraph {
    package: Package,
    installed: bool,
    in_conffiles: bool,
}

impl Paragraph {
    /// Takes one line; false if it is neither a field nor the continuation of one.
    fn line(&mut self, line: &[u8]) -> bool {
        if line[0] == b' ' || line[0] == b'\t' {
            return !self.in_conffiles || self.conffile(line);
        }
        self.in_conffiles = false;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
        let value = line[colon + 1..].trim_ascii();
        let text = || String::from_utf8_lossy(value).into_owned();
        match line[..colon].to_ascii_lowercase().as_slice() {
            b"package" => {
                // The name becomes part of a file name: Debian Policy 5.6.1 allows no more.
                let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                if value.is_empty() || !value.iter().all(is_name) {
                    return false;
                }
                self.package.name = text();
            }
            b"architecture" => {
                if !value.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
                    return false;
                }
                self.package.architecture = text();
            }
            b"version" => self.package.version = text(),
            b"status" => {
                let state = value.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
                self.installed =
                    matches!(state, b"installed" | b"half-configured" | b"triggers-pending" | b"triggers-awaited");
            }
            b"conffiles" => self.in_conffiles = true,
            _ => {}
        }
        true
    }

    /// ` /etc/bash.bashrc 89269e1298235f1b12b4c16e4065ad0d [obsolete]`.
    fn conffile(&mut self, line: &[u8]) -> bool {
        let mut line = line.trim_ascii();
        if line.ends_with(b" remove-on-upgrade") {
            return true;
        }
        line = line.strip_suffix(b" obsolete").unwrap_or(line).trim_ascii_end();
        let Some(space) = line.iter().rposition(|byte| *byte == b' ') else { return false };
        // `newconffile` stands where the package was never configured: there is nothing to compare.
        let Some(md5) = crate::manifest::hex(&line[space + 1..]) else { return &line[space + 1..] == b"newconffile" };
        match evidence::normalise(&line[..space]) {
            Ok(path) => self.package.conffiles.push((path, md5)),
            Err(_) => return false,
        }
        true
    }

    fn finish(self) -> Option<Package> {
        (self.installed && !self.package.name.is_empty()).then_some(self.package)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_have_files_on_the_instance() {
        let (packages, broken) = parse(
            b"Package: a\nStatus: install ok installed\nVersion: 1:2-3\nArchitecture: amd64\nConffiles:\n\
              \x20/etc/a d41d8cd98f00b204e9800998ecf8427e\n /etc/b newconffile\n\
              \x20/etc/c d41d8cd98f00b204e9800998ecf8427e obsolete\nDescription: text\n more\n\n\
              Package: b\nStatus: deinstall ok config-files\n\n",
        );
        assert_eq!(broken, None);
        assert_eq!(packages.len(), 1);
        assert_eq!((packages[0].name.as_str(), packages[0].version.as_str()), ("a", "1:2-3"));
        assert_eq!(
            packages[0].conffiles.iter().map(|(path, _)| path.as_slice()).collect::<Vec<_>>(),
            [b"/etc/a", b"/etc/c"]
        );
    }

    #[test]
    fn a_package_name_that_climbs_is_no_package() {
        let (packages, broken) = parse(b"Package: ../../etc\nStatus: install ok installed\n");
        assert_eq!((packages.len(), broken), (0, Some(1)));
    }

    proptest::proptest! {
        #[test]
        fn no_status_file_makes_us_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn nearly_right_status_files_do_not_make_us_panic(lines: Vec<(bool, String, String)>) {
            let text: String = lines
                .iter()
                .map(|(field, name, value)| {
                    let (head, tail) = if *field { ("Conffiles: ", "\n ") } else { ("", ":") };
                    format!("{head}{name}{tail}{value}\n")
                })
                .collect();
            let _ = parse(text.as_bytes());
        }
    }
}
