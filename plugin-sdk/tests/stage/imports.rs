//! The stage's side of every interface.

use wasmtime::component::{Resource, ResourceTable};

use super::contract::pixelboy::plugin::*;
use super::{
    Animation, Bytes, Call, Failure, File, Manifest, Media, Opcode, Playback, Stage, Values,
};

type Dropped = wasmtime::Result<()>;

fn no(code: &str, message: &str) -> Failure {
    Failure {
        code: code.into(),
        message: message.into(),
        details: Vec::new(),
    }
}

fn dropped<T: 'static>(table: &mut ResourceTable, handle: Resource<T>) -> Dropped {
    table.delete(handle)?;
    Ok(())
}

impl types::Host for Stage {}

impl blob::Host for Stage {}

impl blob::HostData for Stage {
    fn len(&mut self, data: Resource<Bytes>) -> u64 {
        self.bytes(&data).len() as u64
    }

    fn read(&mut self, data: Resource<Bytes>, offset: u64, len: u32) -> Result<Vec<u8>, String> {
        Ok(self
            .bytes(&data)
            .into_iter()
            .skip(offset as usize)
            .take(len as usize)
            .collect())
    }

    /// A fake: the length, thirty-two times.
    fn sha256(&mut self, data: Resource<Bytes>) -> Result<Vec<u8>, String> {
        Ok(vec![self.bytes(&data).len() as u8; 32])
    }

    fn is_text(&mut self, data: Resource<Bytes>) -> Result<bool, String> {
        Ok(String::from_utf8(self.bytes(&data)).is_ok())
    }

    fn drop(&mut self, data: Resource<Bytes>) -> Dropped {
        dropped(&mut self.table, data)
    }
}

impl calls::Host for Stage {
    fn complete(&mut self, token: u64, reply: Result<Values, Failure>) -> Result<(), Failure> {
        let reply = match reply {
            Ok(values) => self.shown(&values),
            Err(failure) => failure.code,
        };
        self.asked.push(format!("complete {token} {reply}"));
        Ok(())
    }
}

impl calls::HostCall for Stage {
    fn client_name(&mut self, _: Resource<Call>) -> String {
        "ada".into()
    }

    fn session(&mut self, _: Resource<Call>) -> u64 {
        5
    }

    fn now_ms(&mut self, _: Resource<Call>) -> u64 {
        1_000
    }

    fn seed(&mut self, _: Resource<Call>) -> u64 {
        4
    }

    fn token(&mut self, _: Resource<Call>) -> u64 {
        77
    }

    fn deadline_ms(&mut self, _: Resource<Call>) -> Option<u64> {
        None
    }

    fn drop(&mut self, call: Resource<Call>) -> Dropped {
        dropped(&mut self.table, call)
    }
}

impl calls::HostManifest for Stage {
    fn version(&mut self, _: Resource<Manifest>, version: String) {
        self.manifest.push(format!("version {version}"));
    }

    fn about(&mut self, _: Resource<Manifest>, text: String) {
        self.manifest.push(format!("about {text}"));
    }

    fn events(&mut self, _: Resource<Manifest>, kinds: Vec<String>) {
        self.manifest.push(format!("events {}", kinds.join(" ")));
    }

    fn opcode(&mut self, _: Resource<Manifest>, name: String) -> Resource<Opcode> {
        self.manifest.push(name);
        self.table.push(Opcode).unwrap()
    }

    fn drop(&mut self, manifest: Resource<Manifest>) -> Dropped {
        dropped(&mut self.table, manifest)
    }
}

impl calls::HostOpcode for Stage {
    fn doc(&mut self, _: Resource<Opcode>, text: String) {
        self.manifest.push(format!("  doc {text:?}"));
    }

    fn arg(&mut self, _: Resource<Opcode>, name: String, kind: String, doc: String) {
        self.manifest.push(format!("  {name}: {kind} {doc:?}"));
    }

    fn optional(
        &mut self,
        _: Resource<Opcode>,
        name: String,
        kind: String,
        doc: String,
        default: Values,
    ) {
        let default = self.shown(&default);
        self.manifest
            .push(format!("  {name}: {kind} = {default} {doc:?}"));
    }

    fn choices(&mut self, _: Resource<Opcode>, arg: String, choices: Values) {
        let choices = self.shown(&choices);
        self.manifest.push(format!("  {arg} in {choices}"));
    }

    fn range(&mut self, _: Resource<Opcode>, arg: String, min: f64, max: f64) {
        self.manifest.push(format!("  {arg} in {min:?}..={max:?}"));
    }

    fn returns(&mut self, _: Resource<Opcode>, doc: String) {
        self.manifest.push(format!("  returns {doc:?}"));
    }

    fn drop(&mut self, opcode: Resource<Opcode>) -> Dropped {
        dropped(&mut self.table, opcode)
    }
}

impl store::Host for Stage {
    fn open(&mut self, path: String) -> Result<Option<Resource<File>>, Failure> {
        Ok(self
            .files
            .get(&path)
            .cloned()
            .map(|file| self.table.push(file).unwrap()))
    }

    fn names(
        &mut self,
        folder: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<String>, Failure> {
        let prefix = if folder.is_empty() {
            folder
        } else {
            format!("{folder}/")
        };
        let mut names: Vec<String> = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix))
            .map(|rest| {
                rest.split_inclusive('/')
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
            .filter(|name| after.as_ref().is_none_or(|after| name > after))
            .collect();
        names.dedup();
        names.truncate(limit as usize);
        Ok(names)
    }

    fn put(
        &mut self,
        path: String,
        bytes: Resource<Bytes>,
        kind: String,
        properties: Vec<(String, String)>,
    ) -> Result<(), Failure> {
        let bytes = self.bytes(&bytes);
        self.asked
            .push(format!("put {path} {kind} {} bytes", bytes.len()));
        self.files.insert(
            path,
            File {
                bytes,
                kind,
                properties,
            },
        );
        Ok(())
    }

    fn append(&mut self, path: String, bytes: Resource<Bytes>) -> Result<u64, Failure> {
        let bytes = self.bytes(&bytes);
        self.asked
            .push(format!("append {path} {} bytes", bytes.len()));
        let new = || File {
            bytes: Vec::new(),
            kind: "text".into(),
            properties: Vec::new(),
        };
        let file = self.files.entry(path).or_insert_with(new);
        let offset = file.bytes.len() as u64;
        file.bytes.extend(bytes);
        Ok(offset)
    }

    fn overwrite(&mut self, path: String, bytes: Resource<Bytes>) -> Result<(), Failure> {
        let mut bytes = self.bytes(&bytes);
        self.asked
            .push(format!("overwrite {path} {} bytes", bytes.len()));
        let file = self
            .files
            .get_mut(&path)
            .ok_or_else(|| no("not-found", "nothing to overwrite"))?;
        bytes.extend(file.bytes.drain(..).skip(bytes.len()).collect::<Vec<_>>());
        file.bytes = bytes;
        Ok(())
    }

    fn remove(&mut self, path: String) -> Result<(), Failure> {
        self.files
            .remove(&path)
            .map(|_| ())
            .ok_or_else(|| no("not-found", "nothing to remove"))
    }

    fn rename(&mut self, from: String, to: String) -> Result<(), Failure> {
        let file = self
            .files
            .remove(&from)
            .ok_or_else(|| no("not-found", "nothing to rename"))?;
        self.files.insert(to, file);
        Ok(())
    }
}

impl store::HostFile for Stage {
    fn size(&mut self, file: Resource<File>) -> u64 {
        self.table.get(&file).unwrap().bytes.len() as u64
    }

    fn kind(&mut self, file: Resource<File>) -> String {
        self.table.get(&file).unwrap().kind.clone()
    }

    fn property(&mut self, file: Resource<File>, name: String) -> Option<String> {
        let properties = &self.table.get(&file).unwrap().properties;
        properties
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.clone())
    }

    fn modified_ms(&mut self, _: Resource<File>) -> u64 {
        9
    }

    fn data(&mut self, file: Resource<File>) -> Resource<Bytes> {
        let bytes = self.table.get(&file).unwrap().bytes.clone();
        self.table.push(Bytes(bytes)).unwrap()
    }

    fn drop(&mut self, file: Resource<File>) -> Dropped {
        dropped(&mut self.table, file)
    }
}

impl store::HostWriter for Stage {
    fn new(&mut self) -> Resource<Bytes> {
        self.table.push(Bytes(Vec::new())).unwrap()
    }

    fn write(&mut self, writer: Resource<Bytes>, bytes: Vec<u8>) -> Result<(), Failure> {
        self.table.get_mut(&writer).unwrap().0.extend(bytes);
        Ok(())
    }

    fn finish(&mut self, writer: Resource<Bytes>) -> Result<Resource<Bytes>, Failure> {
        let bytes = self.bytes(&writer);
        Ok(self.table.push(Bytes(bytes)).unwrap())
    }

    fn drop(&mut self, writer: Resource<Bytes>) -> Dropped {
        dropped(&mut self.table, writer)
    }
}

impl kv::Host for Stage {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.kv.get(&key).cloned())
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), Failure> {
        self.kv.insert(key, value);
        Ok(())
    }

    fn delete(&mut self, key: String) -> Result<(), Failure> {
        self.kv.remove(&key);
        Ok(())
    }

    fn keys(
        &mut self,
        prefix: String,
        _: Option<String>,
        limit: u32,
    ) -> Result<Vec<String>, Failure> {
        Ok(self
            .kv
            .keys()
            .filter(|key| key.starts_with(&prefix))
            .take(limit as usize)
            .cloned()
            .collect())
    }
}

impl probe::Host for Stage {
    fn probe(&mut self, bytes: Resource<Bytes>) -> Result<Resource<Media>, Failure> {
        let text = String::from_utf8_lossy(&self.bytes(&bytes)).into_owned();
        let words: Vec<String> = text.split([' ', '/']).map(str::to_owned).collect();
        if words.len() < 4 {
            return Err(no(
                "unsupported-media",
                "these bytes are nothing that is known here",
            ));
        }
        Ok(self.table.push(Media(words)).unwrap())
    }
}

impl Stage {
    fn word(&self, media: &Resource<Media>, at: usize) -> Option<String> {
        self.table.get(media).unwrap().0.get(at).cloned()
    }

    fn number(&self, media: &Resource<Media>, at: usize) -> u32 {
        self.word(media, at).map_or(0, |word| word.parse().unwrap())
    }

    fn is_audio(&self, media: &Resource<Media>) -> bool {
        self.word(media, 0).as_deref() == Some("audio")
    }
}

impl probe::HostMedia for Stage {
    fn kind(&mut self, media: Resource<Media>) -> String {
        self.word(&media, 0).unwrap()
    }

    fn format(&mut self, media: Resource<Media>) -> String {
        self.word(&media, 1).unwrap()
    }

    fn size(&mut self, media: Resource<Media>) -> (u32, u32) {
        if self.is_audio(&media) {
            (0, 0)
        } else {
            (self.number(&media, 2), self.number(&media, 3))
        }
    }

    fn frames(&mut self, media: Resource<Media>) -> u32 {
        if self.is_audio(&media) {
            0
        } else {
            self.number(&media, 4)
        }
    }

    fn duration_ms(&mut self, media: Resource<Media>) -> Option<u64> {
        let at = if self.is_audio(&media) { 4 } else { 5 };
        self.word(&media, at).map(|word| word.parse().unwrap())
    }

    fn sample_rate(&mut self, media: Resource<Media>) -> Option<u32> {
        self.is_audio(&media).then(|| self.number(&media, 2))
    }

    fn channels(&mut self, media: Resource<Media>) -> Option<u32> {
        self.is_audio(&media).then(|| self.number(&media, 3))
    }

    fn suits_name(&mut self, media: Resource<Media>, name: String) -> bool {
        let format = self.word(&media, 1).unwrap();
        name.rsplit_once('.')
            .is_none_or(|(_, ending)| ending == format)
    }

    fn drop(&mut self, media: Resource<Media>) -> Dropped {
        dropped(&mut self.table, media)
    }
}

impl display::Host for Stage {
    fn size(&mut self) -> (u32, u32) {
        (64, 32)
    }

    fn show(&mut self, path: String) -> Result<(), Failure> {
        self.asked.push(format!("show {path}"));
        Ok(())
    }

    fn play(&mut self, path: String, fps: Option<f64>, loops: Option<u32>) -> Result<(), Failure> {
        self.asked
            .push(format!("play {path} fps {fps:?} loops {loops:?}"));
        Ok(())
    }

    fn draw(&mut self, width: u32, height: u32, _: Vec<u8>) -> Result<(), Failure> {
        self.asked.push(format!("draw {width} {height}"));
        Ok(())
    }

    fn animate(&mut self, frames: Resource<Animation>) -> Result<(), Failure> {
        let frames = self.table.delete(frames).unwrap().0.join(", ");
        self.asked.push(format!("animate {frames}"));
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Failure> {
        self.asked.push("clear".into());
        Ok(())
    }

    fn shown(&mut self) -> Option<(String, Option<String>)> {
        None
    }
}

impl display::HostAnimation for Stage {
    fn new(&mut self, width: u32, height: u32, loops: u32) -> Resource<Animation> {
        self.table
            .push(Animation(vec![format!("{width}x{height} loops {loops}")]))
            .unwrap()
    }

    fn frame(
        &mut self,
        animation: Resource<Animation>,
        rgba: Vec<u8>,
        duration_ms: u32,
    ) -> Result<(), Failure> {
        self.table
            .get_mut(&animation)
            .unwrap()
            .0
            .push(format!("{rgba:?} {duration_ms} ms"));
        Ok(())
    }

    fn drop(&mut self, animation: Resource<Animation>) -> Dropped {
        dropped(&mut self.table, animation)
    }
}

impl audio::Host for Stage {
    fn now(&mut self) -> Option<Resource<Playback>> {
        self.playing
            .is_some()
            .then(|| self.table.push(Playback).unwrap())
    }

    fn play(&mut self, path: String, outlive_session: bool) -> Result<(), Failure> {
        self.asked
            .push(format!("play {path} outlive {outlive_session}"));
        self.playing = Some(path);
        Ok(())
    }

    fn pause(&mut self) -> Result<(), Failure> {
        self.asked.push("pause".into());
        Ok(())
    }

    fn resume(&mut self, outlive_session: bool) -> Result<(), Failure> {
        self.asked.push(format!("resume outlive {outlive_session}"));
        Ok(())
    }

    fn stop(&mut self) -> Result<(), Failure> {
        self.asked.push("stop".into());
        self.playing = None;
        Ok(())
    }

    fn volume(&mut self) -> f64 {
        1.0
    }

    fn set_volume(&mut self, volume: f64) -> Result<(), Failure> {
        self.asked.push(format!("volume {volume:?}"));
        Ok(())
    }
}

impl audio::HostPlayback for Stage {
    fn path(&mut self, _: Resource<Playback>) -> String {
        self.playing.clone().unwrap_or_default()
    }

    fn position_ms(&mut self, _: Resource<Playback>) -> u64 {
        1_500
    }

    fn duration_ms(&mut self, _: Resource<Playback>) -> Option<u64> {
        Some(3_000)
    }

    fn paused(&mut self, _: Resource<Playback>) -> bool {
        false
    }

    fn outlives_session(&mut self, _: Resource<Playback>) -> bool {
        false
    }

    fn drop(&mut self, playback: Resource<Playback>) -> Dropped {
        dropped(&mut self.table, playback)
    }
}

impl client::Host for Stage {
    fn sessions(&mut self) -> Vec<u64> {
        vec![5]
    }

    fn push(&mut self, session: u64, op: String, args: Values) -> Result<(), Failure> {
        let args = self.shown(&args);
        self.asked.push(format!("push {session} {op}({args})"));
        Ok(())
    }

    fn call(
        &mut self,
        session: u64,
        op: String,
        args: Values,
        timeout_ms: u64,
        tag: String,
    ) -> Result<(), Failure> {
        let args = self.shown(&args);
        self.asked
            .push(format!("call {session} {op}({args}) {timeout_ms} ms {tag}"));
        Ok(())
    }
}

impl timer::Host for Stage {
    fn set(
        &mut self,
        id: String,
        after_ms: u64,
        payload: Vec<u8>,
        durable: bool,
    ) -> Result<(), Failure> {
        self.asked.push(format!(
            "timer {id} {after_ms} ms {payload:?} durable {durable}"
        ));
        Ok(())
    }

    fn cancel(&mut self, id: String) -> Result<(), Failure> {
        self.asked.push(format!("cancel {id}"));
        Ok(())
    }
}

impl settings::Host for Stage {
    fn get(&mut self, key: String) -> Option<Values> {
        (key == "scale").then(|| Values {
            nodes: vec![super::Node::Int(2)],
            roots: vec![0],
        })
    }
}

impl log::Host for Stage {
    fn write(&mut self, level: log::Level, message: String) {
        self.log.push(format!("{level:?} {message}"));
    }
}
