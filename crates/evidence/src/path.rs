//! Path: which entry below the root does a path written by somebody else mean?
//!
//! Manifests and databases write paths as they like. They become absolute from the evidence root,
//! with single slashes, or are refused. Nothing here touches a disk.

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// `..` climbs out, or means something else once links are resolved.
    #[error("the path climbs with \"..\"")]
    Climbs,
    /// No file name holds a zero byte.
    #[error("the path holds a zero byte")]
    Zero,
    /// Nothing is left but slashes.
    #[error("the path names no file")]
    Empty,
}

/// Writes a path absolute from the root: `./usr//bin/ls` becomes `/usr/bin/ls`.
///
/// # Errors
///
/// [`PathError`] if the path climbs, holds a zero byte or names nothing.
pub fn normalise(path: &[u8]) -> Result<Vec<u8>, PathError> {
    if path.contains(&0) {
        return Err(PathError::Zero);
    }
    let mut out = Vec::with_capacity(path.len() + 1);
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(PathError::Climbs),
            part => {
                out.push(b'/');
                out.extend_from_slice(part);
            }
        }
    }
    if out.is_empty() { Err(PathError::Empty) } else { Ok(out) }
}

/// Folder and name of a normalised path; the root is the empty folder.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Result<&str, PathError>) {
        assert_eq!(normalise(path.as_bytes()), expected.map(|path| path.as_bytes().to_vec()));
    }

    #[test]
    fn relative_and_absolute_paths_mean_the_same_file() {
        check("usr/bin/ls", Ok("/usr/bin/ls"));
        check("./usr//bin/./ls", Ok("/usr/bin/ls"));
        check("/usr/bin/ls", Ok("/usr/bin/ls"));
    }

    #[test]
    fn a_path_that_climbs_is_refused() {
        check("../../etc/shadow", Err(PathError::Climbs));
        check("/usr/../etc/shadow", Err(PathError::Climbs));
        check("/", Err(PathError::Empty));
        check("a\0b", Err(PathError::Zero));
    }

    proptest::proptest! {
        #[test]
        fn a_normalised_path_stays_as_it_is(path: Vec<u8>) {
            if let Ok(once) = normalise(&path) {
                proptest::prop_assert_eq!(normalise(&once), Ok(once.clone()));
                proptest::prop_assert!(once.starts_with(b"/"));
            }
        }
    }
}
