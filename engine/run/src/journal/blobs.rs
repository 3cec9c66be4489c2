//! Large values, each in a file of its own that is named by the digest of what it holds.
//!
//! ```text
//!   controller/journal.db       {"step":"a","outputs":{"$blob":"9f86d081...","bytes":812345}}
//!   controller/blobs/9f/86d081...                                '--> the value as JSON
//! ```
//!
//! A field of a record's payload goes here when it is large, so that reading the rest of a journal stays quick, and when it
//! looks like a reference, so that a reference is never mistaken for a value. The record's hash goes over the reference and
//! thereby over the value. A file is durable before the record that names it, never changes, and may be named by many
//! records: every run of one plan names the same one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use longhaul_saga::sha256_hex;
use serde_json::{Map, Value};

/// A field whose JSON is longer goes into a file, in bytes.
pub const LARGE_BYTES: usize = 64 << 10;

/// The key of a reference's digest.
const BLOB: &str = "$blob";
/// The key of how long the value is.
const BYTES: &str = "bytes";

/// The files.
#[derive(Debug, Clone)]
pub(super) struct Blobs {
    folder: PathBuf,
}

/// A value that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Its file is missing or cannot be read.
    #[error("the value {digest} is missing: {} cannot be read", path.display())]
    Missing {
        /// Its digest.
        digest: String,
        /// Where it should be.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its file holds something else.
    #[error("the value {digest} is broken: {} holds another one", path.display())]
    Changed {
        /// Its digest.
        digest: String,
        /// Where it is.
        path: PathBuf,
    },
}

impl Blobs {
    pub(super) fn of(directory: &Path) -> Self {
        Self { folder: directory.join("blobs") }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, digest: &str) -> PathBuf {
        let (folder, name) = digest.split_at_checked(2).unwrap_or((digest, "none"));
        self.folder.join(folder).join(name)
    }

    /// Keeps a value; durable when this returns.
    pub(super) fn put(&self, text: &str) -> io::Result<String> {
        let digest = sha256_hex(text.as_bytes());
        let path = self.path(&digest);
        if path.exists() {
            return Ok(digest);
        }
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        let new = folder.join(format!("new-{}", std::process::id()));
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        for folder in [folder, &self.folder, self.folder.parent().unwrap_or(&self.folder)] {
            File::open(folder)?.sync_all()?;
        }
        Ok(digest)
    }

    /// The value of that digest, as it was kept.
    pub(super) fn get(&self, digest: &str) -> Result<String, Lost> {
        let path = self.path(digest);
        let missing = |source| Lost::Missing { digest: digest.to_owned(), path: path.clone(), source };
        let bytes = fs::read(&path).map_err(missing)?;
        if sha256_hex(&bytes) != digest {
            return Err(Lost::Changed { digest: digest.to_owned(), path });
        }
        String::from_utf8(bytes).map_err(|_| Lost::Changed { digest: digest.to_owned(), path })
    }

    /// Removes every value that is not named here, and says how many bytes that freed.
    pub(super) fn keep_only(&self, named: &BTreeSet<String>) -> io::Result<u64> {
        let mut freed = 0;
        for folder in entries(&self.folder)? {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for file in entries(&folder)? {
                let rest = file.file_name().unwrap_or_default().to_string_lossy();
                if !named.contains(&format!("{name}{rest}")) {
                    freed += file.metadata()?.len();
                    fs::remove_file(&file)?;
                }
            }
        }
        Ok(freed)
    }
}

/// What is in a folder; nothing if there is none.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// What stands in a payload for a value that is kept elsewhere.
fn reference(digest: &str, bytes: usize) -> Value {
    let mut reference = Map::new();
    reference.insert(BLOB.to_owned(), Value::from(digest));
    reference.insert(BYTES.to_owned(), Value::from(bytes));
    Value::Object(reference)
}

/// The digest that a field of a payload names; none if it is a value itself.
fn named(field: &Value) -> Option<&str> {
    field.as_object()?.get(BLOB)?.as_str()
}

/// A payload's text as it is stored: each field that is large, or looks like a reference, is put away first.
pub(super) fn put_away<E>(
    payload: &Value,
    text: String,
    mut put: impl FnMut(&str) -> Result<String, E>,
) -> Result<String, E> {
    let Value::Object(fields) = payload else { return Ok(text) };
    let is_small = text.len() <= LARGE_BYTES;
    if is_small && !fields.values().any(|field| named(field).is_some()) {
        return Ok(text);
    }
    let mut stored = fields.clone();
    for field in stored.values_mut() {
        let text = field.to_string();
        if text.len() > LARGE_BYTES || named(field).is_some() {
            *field = reference(&put(&text)?, text.len());
        }
    }
    Ok(Value::Object(stored).to_string())
}

/// The digests that a stored payload names, without reading more of it than is needed.
pub(super) fn digests(text: &str) -> Vec<String> {
    if !text.contains(BLOB) {
        return Vec::new();
    }
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    fields.values().filter_map(named).map(str::to_owned).collect()
}

/// A stored payload's text with every value in its place again.
pub(super) fn put_back<E>(text: String, mut get: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
    let digests = digests(&text);
    if digests.is_empty() {
        return Ok(text);
    }
    let mut values = BTreeMap::new();
    for digest in digests {
        let value = get(&digest)?;
        values.insert(digest, value);
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_str::<Value>(&text) else { return Ok(text) };
    for field in fields.values_mut() {
        if let Some(value) = named(field).and_then(|digest| values.get(digest)) {
            // What is no JSON was not written by us; the record then says that it is not well-formed.
            *field = serde_json::from_str(value).unwrap_or(Value::Null);
        }
    }
    Ok(Value::Object(fields).to_string())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use serde_json::json;

    use super::*;

    /// What is put away comes back as it was: large fields, fields that look like references, and small ones.
    #[test]
    fn values_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(folder.path());
        let large = "x".repeat(LARGE_BYTES);
        let sly = json!({ BLOB: "ab", "bytes": 2 });
        for payload in [
            json!({ "step": "a", "outputs": { "text": large } }),
            json!({ "step": "a", "outputs": sly, "params": { "inner": sly } }),
            json!({ "step": "a", "outputs": {} }),
            json!("no object"),
        ] {
            let text = payload.to_string();
            let stored = put_away(&payload, text.clone(), |text| blobs.put(text)).unwrap();
            assert!(stored.len() < 1_000);
            assert_eq!(put_back(stored, |digest| blobs.get(digest)).unwrap(), text);
        }
    }

    /// A record of many small fields stays whole, however large it is.
    #[test]
    fn only_large_fields_are_put_away() {
        let fields = (0..40).map(|n| (format!("f{n}"), Value::from("x".repeat(LARGE_BYTES / 20))));
        let payload = Value::Object(fields.collect());
        let text = payload.to_string();
        let none = |_: &str| -> Result<String, Infallible> { unreachable!("no field is large") };
        assert_eq!(put_away(&payload, text.clone(), none).unwrap(), text);
    }

    /// A missing value and a changed one are told apart, each by its digest.
    #[test]
    fn lost_values_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(folder.path());
        let digest = blobs.put("\"value\"").unwrap();
        fs::write(blobs.path(&digest), "\"other\"").unwrap();
        assert!(matches!(blobs.get(&digest), Err(Lost::Changed { digest: named, .. }) if named == digest));
        fs::remove_file(blobs.path(&digest)).unwrap();
        assert!(matches!(blobs.get(&digest), Err(Lost::Missing { digest: named, .. }) if named == digest));
    }

    /// What nobody names goes, what somebody names stays, and an interrupted writing leaves nothing.
    #[test]
    fn what_nobody_names_goes() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(folder.path());
        let [one, other] = ["\"one\"", "\"other\""].map(|text| blobs.put(text).unwrap());
        fs::write(blobs.path(&one).with_file_name("new-1"), "half").unwrap();
        assert_eq!(blobs.keep_only(&BTreeSet::from([other.clone()])).unwrap(), 5 + 4);
        assert!(blobs.get(&one).is_err());
        assert_eq!(blobs.get(&other).unwrap(), "\"other\"");
    }
}
