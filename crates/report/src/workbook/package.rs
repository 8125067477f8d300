//! Package: which parts does a workbook have, and is it safe to hand it on?
//!
//! A workbook is a zip file. It is looked through once before anything is believed: names that leave
//! the folder, names that are there twice, sizes that lie, parts that burst. Parts that do not change
//! are copied as they are packed. Nothing is ever unpacked to disk.
//! Source: ECMA-376 part 2 (Open Packaging Conventions), 6.2.2 and 7.3.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read as _, Write as _};

use zip::read::ZipArchive;
use zip::result::ZipError;
use zip::write::ZipWriter;

use super::{Error, Limits};

/// First bytes of an OLE compound file: an encrypted workbook, or one of before 2007.
const COMPOUND: [u8; 8] = [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];

/// A workbook's parts.
pub(super) struct Package<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    limits: Limits,
}

impl<'a> Package<'a> {
    pub(super) fn open(form: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        if form.starts_with(&COMPOUND) {
            return Err(Error::Compound);
        }
        at_most(form.len() as u64, limits.file, "bytes")?;
        let source = |source| Error::NoPackage { source };
        // Counted before the directory is read, which takes memory for every part.
        let count = form.windows(4).filter(|bytes| *bytes == b"PK\x01\x02").count();
        at_most(count as u64, limits.parts as u64, "parts")?;
        let archive = ZipArchive::new(Cursor::new(form)).map_err(source)?;
        let mut package = Self { archive, limits: *limits };
        package.names()?;
        let sound = package.archive.validate_header_consistency();
        sound.map_err(|err| Error::Unsound { what: err.to_string() })?;
        package.unpack_all()?;
        Ok(package)
    }

    /// Refuses names that are there twice, as some readers see names, or that lead elsewhere.
    fn names(&mut self) -> Result<(), Error> {
        let unsound = |what: String| Err(Error::Unsound { what });
        if self.archive.has_duplicate_names() {
            return unsound("a part is there twice".into());
        }
        let mut seen = BTreeSet::new();
        for name in self.archive.file_names() {
            let Ok(name) = name else {
                return unsound("the name of a part cannot be read".into());
            };
            let leads_away = name.split('/').any(|step| matches!(step, ".." | "."));
            if leads_away || name.starts_with('/') || name.contains(['\\', ':', '\0']) {
                return unsound(format!("the part {name:?} leads out of it"));
            }
            if !seen.insert(name.to_ascii_lowercase()) {
                return unsound(format!("the part {name:?} is there twice"));
            }
        }
        Ok(())
    }

    /// Unpacks every part and keeps nothing: sizes in a zip file are claims.
    fn unpack_all(&mut self) -> Result<(), Error> {
        let mut left = self.limits.all;
        for index in 0..self.archive.len() {
            let part = self.name(index);
            let broken = |source| Error::Part { part: part.clone(), source };
            let file = self.archive.by_index(index).map_err(broken)?;
            let read = std::io::copy(&mut file.take(left + 1), &mut std::io::sink());
            let read = read.map_err(|err| Error::Part { part: part.clone(), source: ZipError::Io(err) })?;
            left = left.checked_sub(read).ok_or_else(|| too_much("bytes unpacked", self.limits.all))?;
        }
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        let name = self.archive.name_for_index(index).and_then(Result::ok);
        name.map(std::borrow::Cow::into_owned).unwrap_or_default()
    }

    /// A part that is text.
    pub(super) fn text(&mut self, part: &str) -> Result<String, Error> {
        let shape = |what: &str| Error::Shape { part: part.to_owned(), at: 0, what: what.to_owned() };
        let file = match self.archive.by_name(part) {
            Ok(file) => file,
            Err(ZipError::FileNotFound) => return Err(shape("it is not there")),
            Err(source) => return Err(Error::Part { part: part.to_owned(), source }),
        };
        let mut bytes = Vec::new();
        let read = file.take(self.limits.part + 1).read_to_end(&mut bytes);
        let read = read.map_err(|err| Error::Part { part: part.to_owned(), source: ZipError::Io(err) })?;
        at_most(read as u64, self.limits.part, &format!("bytes in the part {part:?}"))?;
        String::from_utf8(bytes).map_err(|_| shape("it is not UTF-8"))
    }

    /// The package with other bytes in some parts. Order, times and everything else stay.
    pub(super) fn with(mut self, changed: &BTreeMap<String, String>) -> Result<Vec<u8>, Error> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for index in 0..self.archive.len() {
            let part = self.name(index);
            let broken = |source| Error::Part { part: part.clone(), source };
            let file = self.archive.by_index_raw(index).map_err(broken)?;
            match changed.get(&part) {
                None => writer.raw_copy_file(file).map_err(broken)?,
                Some(text) => {
                    writer.start_file(&part, file.options()).map_err(broken)?;
                    writer.write_all(text.as_bytes()).map_err(|err| broken(ZipError::Io(err)))?;
                }
            }
        }
        let end = |source| Error::NoPackage { source };
        writer.set_raw_comment(self.archive.comment().into()).map_err(end)?;
        writer.finish().map(Cursor::into_inner).map_err(end)
    }
}

fn at_most(number: u64, most: u64, unit: &str) -> Result<(), Error> {
    if number > most { Err(too_much(unit, most)) } else { Ok(()) }
}

fn too_much(unit: &str, most: u64) -> Error {
    Error::TooMuch { what: format!("too many {unit}"), most }
}
