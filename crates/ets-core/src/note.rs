//! Checkpoint notes: a domain's root, signed so that any transparency-log tool
//! can read it (C2SP signed-note and tlog-checkpoint).
//!
//! A note is text, an empty line and signature lines. A domain's checkpoint note
//! has this text, its first line being also the name of the key that signs it:
//!
//! ```text
//! acme.example/prod/decisions      <origin>/<domain>
//! 15                               number of leaves
//! JdSXaPO3URGp/j2IcbV/...          base64 of the root
//! ets-metaroot qmIelsJhtR1/...     base64 of the MetaRoot of the checkpoint
//! ```
//!
//! Every type here is read strictly: what was read is written again and must be
//! the same text.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;

use crate::checkpoint::DomainRoot;
use crate::hash::{Digest, sha256, to_hex};
use crate::key::{PublicKey, SecretKey, Signature};
use crate::name::{DomainName, Origin};

/// The first word of the extension line that carries the MetaRoot.
const META_ROOT_LINE: &str = "ets-metaroot ";
/// The signature type of Ed25519 (C2SP signed-note, "Signature Types").
const ED25519: u8 = 0x01;
/// The most signatures that are read: server, witnesses and mirrors of one note.
const MAX_SIGNATURES: usize = 100;

/// The checkpoint note of a domain, signed by `key`.
pub fn sign_checkpoint(origin: &Origin, root: &DomainRoot, meta_root: &Digest, key: &SecretKey) -> String {
    let body = checkpoint_body(origin, root, meta_root);
    Note::signed(body.to_string(), NoteName::of_domain(origin, &root.domain), key).to_string()
}

/// What the checkpoint note of a domain says.
pub fn checkpoint_body(origin: &Origin, root: &DomainRoot, meta_root: &Digest) -> CheckpointBody {
    CheckpointBody {
        origin: NoteName::of_domain(origin, &root.domain).as_str().to_owned(),
        tree_size: root.tree_size,
        root: root.root,
        extensions: vec![format!("{META_ROOT_LINE}{}", BASE64.encode(meta_root.as_bytes()))],
    }
}

/// The root and the MetaRoot that the checkpoint note of `domain` states, if `key`
/// signed it. Further signatures, a witness's for example, are not judged.
///
/// # Errors
/// [`NoteError`] if it is no such note, another domain's, or not signed by `key`.
pub fn open_checkpoint(
    note: &str,
    origin: &Origin,
    domain: &DomainName,
    key: &PublicKey,
) -> Result<(DomainRoot, Digest), NoteError> {
    let note: Note = note.parse()?;
    let key = VerifierKey::of_domain(origin, domain, key);
    note.verify(&key)?;
    let body: CheckpointBody = note.text.parse()?;
    if body.origin != key.name.as_str() {
        return Err(NoteError::Origin);
    }
    let meta_root = match body.extensions.as_slice() {
        [line] => line.strip_prefix(META_ROOT_LINE).and_then(digest_from_base64),
        _ => None,
    };
    let root = DomainRoot { domain: domain.clone(), tree_size: body.tree_size, root: body.root };
    Ok((root, meta_root.ok_or(NoteError::Body)?))
}

/// A text with signatures, each by a named key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct NoteSignature {
    name: NoteName,
    /// The key hash, then the signature, as its type has it.
    bytes: Vec<u8>,
}

impl Note {
    /// A note with one signature. `text` must end with a line feed and have no
    /// other control characters, or nobody will read the note.
    pub fn signed(text: String, name: NoteName, key: &SecretKey) -> Self {
        // key hash || Ed25519 over the text (C2SP signed-note, "Signatures").
        let mut bytes = key_hash(&name, &key.public_key()).to_vec();
        bytes.extend(key.sign_message(text.as_bytes()).0);
        Note { text, signatures: vec![NoteSignature { name, bytes }] }
    }

    /// What is signed, with its final line feed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Each signature's key name, and its bytes: the key hash, then the signature,
    /// as its type has it.
    pub(crate) fn signatures(&self) -> impl Iterator<Item = (&NoteName, &[u8])> {
        self.signatures.iter().map(|line| (&line.name, line.bytes.as_slice()))
    }

    /// The note with more signature lines, as they stand behind the empty line.
    ///
    /// # Errors
    /// [`NoteError::Note`] if they are none, or too many.
    pub fn with_lines(&self, lines: &str) -> Result<Note, NoteError> {
        let signed: Note = format!("{self}{lines}").parse()?;
        // An empty line among them would make signatures a part of the text.
        if signed.text == self.text { Ok(signed) } else { Err(NoteError::Note) }
    }

    /// The same text with the signatures for which `keep` holds: their key's name, and
    /// their bytes. A note has at least one.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&NoteName, &[u8]) -> bool) {
        self.signatures.retain(|line| keep(&line.name, &line.bytes));
    }

    /// Whether `key` signed the text.
    ///
    /// # Errors
    /// [`NoteError::NotSigned`] if no signature names the key,
    /// [`NoteError::Signature`] if one that does is not valid.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        let mut found = Err(NoteError::NotSigned);
        for NoteSignature { name, bytes } in &self.signatures {
            let Some((hash, signature)) = bytes.split_first_chunk() else { continue };
            if *name != key.name || *hash != key.hash() {
                continue;
            }
            let signature = Signature::try_from(signature).map_err(|_| NoteError::Signature)?;
            if !key.public_key.verify_message(self.text.as_bytes(), &signature) {
                return Err(NoteError::Signature);
            }
            found = Ok(());
        }
        found
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for NoteSignature { name, bytes } in &self.signatures {
            writeln!(f, "— {name} {}", BASE64.encode(bytes))?;
        }
        Ok(())
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Note);
        }
        // The last empty line: a text may have some, signature lines are none.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Note)?;
        let signatures: Vec<NoteSignature> = lines
            .lines()
            .take(MAX_SIGNATURES + 1)
            .map(|line| {
                let (name, base64) = line.strip_prefix("— ")?.split_once(' ')?;
                let bytes = BASE64.decode(base64.as_bytes()).ok().filter(|bytes| bytes.len() > 4)?;
                Some(NoteSignature { name: name.parse().ok()?, bytes })
            })
            .collect::<Option<_>>()
            .ok_or(NoteError::Note)?;
        let parsed = Note { text: format!("{text}\n"), signatures };
        let count = parsed.signatures.len();
        if text.is_empty() || count == 0 || count > MAX_SIGNATURES || parsed.to_string() != note {
            return Err(NoteError::Note);
        }
        Ok(parsed)
    }
}

/// The text of a checkpoint note (C2SP tlog-checkpoint).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointBody {
    /// The log's name, one line that is not empty.
    pub origin: String,
    /// The number of leaves.
    pub tree_size: u64,
    /// The root over them.
    pub root: Digest,
    /// Further lines, none of them empty.
    pub extensions: Vec<String>,
}

impl fmt::Display for CheckpointBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = BASE64.encode(self.root.as_bytes());
        write!(f, "{}\n{}\n{root}\n", self.origin, self.tree_size)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for CheckpointBody {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.lines();
        let mut next = || lines.next().filter(|line| !line.is_empty()).ok_or(NoteError::Body);
        let origin = next()?.to_owned();
        let tree_size = next()?.parse().map_err(|_| NoteError::Body)?;
        let root = digest_from_base64(next()?).ok_or(NoteError::Body)?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        let no_empty_line = extensions.iter().all(|line| !line.is_empty());
        let body = CheckpointBody { origin, tree_size, root, extensions };
        if no_empty_line && body.to_string() == text { Ok(body) } else { Err(NoteError::Body) }
    }
}

/// A key that verifies notes, with its name. As text:
/// `<name>+<key hash in hex>+<base64 of 0x01 || public key>` (C2SP signed-note,
/// "Verifier keys").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    /// The name that signature lines give.
    pub name: NoteName,
    /// The Ed25519 key.
    pub public_key: PublicKey,
}

impl VerifierKey {
    /// The key that verifies the checkpoint notes of `domain`.
    pub fn of_domain(origin: &Origin, domain: &DomainName, public_key: &PublicKey) -> Self {
        VerifierKey { name: NoteName::of_domain(origin, domain), public_key: public_key.clone() }
    }

    /// The first four bytes of the key's hash, which signatures carry.
    pub fn hash(&self) -> [u8; 4] {
        key_hash(&self.name, &self.public_key)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519], self.public_key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, to_hex(&self.hash()), BASE64.encode(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        // A name has no `+`; base64 may.
        let (name, rest) = text.split_once('+').ok_or(NoteError::Key)?;
        let (_, base64) = rest.split_once('+').ok_or(NoteError::Key)?;
        let bytes = BASE64.decode(base64.as_bytes()).map_err(|_| NoteError::Key)?;
        let [ED25519, key @ ..] = bytes.as_slice() else { return Err(NoteError::Key) };
        let key = key.try_into().map_err(|_| NoteError::Key)?;
        let public_key = PublicKey::from_bytes(key).map_err(|_| NoteError::Key)?;
        let parsed = VerifierKey { name: name.parse()?, public_key };
        // Compares the key hash too.
        if parsed.to_string() == text { Ok(parsed) } else { Err(NoteError::Key) }
    }
}

/// The name of a key that signs notes: not empty, no white space, no `+`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteName(Box<str>);

impl NoteName {
    /// `<origin>/<domain>`: neither part can hold a character that a name cannot.
    pub fn of_domain(origin: &Origin, domain: &DomainName) -> Self {
        NoteName(format!("{origin}/{domain}").into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NoteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NoteName {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
            return Err(NoteError::Name);
        }
        Ok(NoteName(text.into()))
    }
}

/// Why a text is no note, key or checkpoint, or not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteError {
    /// It is no signed note.
    Note,
    /// It is no verifier key of an Ed25519 key.
    Key,
    /// It is no name of a key.
    Name,
    /// The note's text is no checkpoint of this ledger.
    Body,
    /// The note is another log's.
    Origin,
    /// No signature is by this key.
    NotSigned,
    /// The signature by this key is not valid.
    Signature,
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoteError::Note => "not a signed note",
            NoteError::Key => "not a verifier key",
            NoteError::Name => "not the name of a note's key",
            NoteError::Body => "the note is no checkpoint with a MetaRoot",
            NoteError::Origin => "the note is another domain's",
            NoteError::NotSigned => "the note has no signature by this key",
            NoteError::Signature => "the note's signature is not valid",
        })
    }
}

impl std::error::Error for NoteError {}

/// `SHA256( name || 0x0A || 0x01 || public key )`, its first four bytes (C2SP
/// signed-note, "Signature Types").
fn key_hash(name: &NoteName, key: &PublicKey) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(&[name.as_str().as_bytes(), b"\n", &[ED25519], key.as_bytes()]).0;
    [a, b, c, d]
}

fn digest_from_base64(text: &str) -> Option<Digest> {
    BASE64.decode(text.as_bytes()).ok().and_then(|bytes| Digest::try_from(bytes.as_slice()).ok())
}
