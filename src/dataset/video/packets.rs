//! The packets of a transport stream as they lie in the file: where some are missing, and how many programs there are.

use std::collections::HashMap;

/// What a packet begins with.
const SYNC: u8 = 0x47;
/// Lengths that packets have in files: plain, with a time before each, and with a checksum behind.
const LENGTHS: [usize; 3] = [188, 192, 204];
/// Packets in a row by which their length is known.
const ROW: usize = 4;
/// The stream of the table of programs, and that of padding.
const PROGRAMS: u16 = 0;
const PADDING: u16 = 0x1fff;

/// What was seen of a transport stream that was read from its beginning on.
#[derive(Debug, Default)]
pub struct Packets {
    /// Where the file was read up to.
    offset: u64,
    rest: Vec<u8>,
    length: Option<usize>,
    /// The last counter of each stream.
    counters: HashMap<u16, u8>,
    /// Packets of each stream that something is missing before.
    torn: HashMap<u32, u64>,
    /// Bytes between packets that are none.
    strange: u64,
    programs: usize,
}

impl Packets {
    /// The next bytes of the file.
    pub fn read(&mut self, offset: u64, bytes: &[u8]) {
        if offset != self.offset {
            // Elsewhere, to learn how long it lasts.
            *self = Self::default();
        }
        self.offset = offset + bytes.len() as u64;
        self.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.rest);
        let used = self.walk(&rest);
        self.rest = rest;
        self.rest.drain(..used);
    }

    /// Looks at all whole packets; returns how many bytes these are.
    fn walk(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        loop {
            let Some(length) = self.length else {
                let Some((start, length)) = find(&bytes[at..]) else {
                    // What may still be the beginning of a row is looked at again.
                    let keep = bytes.len().saturating_sub(at).min(LENGTHS[2] * ROW);
                    let passed = bytes.len() - at - keep;
                    self.pass(passed);
                    return at + passed;
                };
                self.pass(start);
                at += start;
                self.length = Some(length);
                continue;
            };
            let Some(packet) = bytes.get(at..at + length) else { return at };
            if packet[0] == SYNC {
                self.packet(packet);
                at += length;
            } else {
                self.length = None;
            }
        }
    }

    /// Bytes that are no packets; before the first packet they may be anything.
    fn pass(&mut self, bytes: usize) {
        if !self.counters.is_empty() {
            self.strange += bytes as u64;
        }
    }

    fn packet(&mut self, packet: &[u8]) {
        let stream = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
        let (starts, counter) = (packet[1] & 0x40 != 0, packet[3] & 0x0f);
        let (adapted, payload) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
        if stream == PADDING || !payload {
            return;
        }
        let announced = adapted && packet[4] > 0 && packet[5] & 0x80 != 0;
        let before = self.counters.insert(stream, counter);
        let follows = before.is_none_or(|before| counter == before || counter == (before + 1) & 0x0f);
        // Where recordings were joined, a frame begins and nothing is lost.
        if !follows && !announced && !starts {
            *self.torn.entry(stream.into()).or_default() += 1;
        }
        if stream == PROGRAMS && starts {
            let from = 4 + if adapted { 1 + usize::from(packet[4]) } else { 0 };
            self.programs = packet.get(from..).and_then(programs).unwrap_or(self.programs);
        }
    }

    /// Places where packets of a stream are missing.
    pub fn torn(&self, stream: u32) -> u64 {
        self.torn.get(&stream).copied().unwrap_or(0)
    }

    /// Bytes between packets that are none.
    pub fn strange(&self) -> u64 {
        self.strange
    }

    /// Whether a file of this size ends within a packet.
    pub fn is_cut(&self, size: u64) -> bool {
        self.offset == size && self.length.is_some() && self.rest.first() == Some(&SYNC)
    }

    /// How many programs there are.
    pub fn programs(&self) -> usize {
        self.programs
    }
}

/// Where packets begin, and how long they are.
fn find(bytes: &[u8]) -> Option<(usize, usize)> {
    (0..bytes.len()).find_map(|start| {
        let row = |length: &usize| (0..ROW).all(|i| bytes.get(start + i * length) == Some(&SYNC));
        LENGTHS.into_iter().find(row).map(|length| (start, length))
    })
}

/// The programs of a table of them, with the pointer before it.
fn programs(payload: &[u8]) -> Option<usize> {
    let table = payload.get(1 + usize::from(*payload.first()?)..)?;
    let length = usize::from(*table.get(1)? & 0x0f) << 8 | usize::from(*table.get(2)?);
    // Behind five bytes of its own, four for each, and a checksum.
    let entries = table.get(8..(3 + length).checked_sub(4)?)?;
    Some(entries.as_chunks::<4>().0.iter().filter(|entry| entry[..2] != [0, 0]).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: u16 = 0x41;

    fn packet(counter: u8, starts: bool) -> Vec<u8> {
        let mut packet = vec![0xff; 188];
        let start = if starts { 0x40 } else { 0 };
        packet[..4].copy_from_slice(&[SYNC, start, STREAM as u8, 0x10 | counter & 0x0f]);
        packet
    }

    fn stream(count: u8) -> Vec<Vec<u8>> {
        (0..count).map(|i| packet(i, i % 5 == 0)).collect()
    }

    /// Read in pieces that do not end where packets do.
    fn read(bytes: &[u8]) -> Packets {
        let mut packets = Packets::default();
        bytes.chunks(1000).enumerate().for_each(|(i, bytes)| packets.read(1000 * i as u64, bytes));
        packets
    }

    fn found(bytes: &[u8]) -> (u64, u64) {
        let packets = read(bytes);
        (packets.torn(STREAM.into()), packets.strange())
    }

    #[test]
    fn missing_packets_are_found_and_joined_recordings_are_none() {
        let whole = stream(60);
        assert_eq!(found(&whole.concat()), (0, 0));
        assert_eq!(found(&[&whole[..21], &whole[23..]].concat().concat()), (1, 0));
        assert_eq!(found(&[&whole[..17], &whole[..40]].concat().concat()), (0, 0), "a frame begins there");
        assert_eq!(found(&[&whole[..21], &whole[20..]].concat().concat()), (0, 0), "one packet twice");
    }

    #[test]
    fn what_is_no_packet_is_counted_but_before_the_first() {
        let whole = stream(60).concat();
        assert_eq!(found(&[&[7; 5000], &whole[..]].concat()), (0, 0));
        let mut torn = whole.clone();
        torn[188 * 20..188 * 32].fill(0x55);
        assert_eq!(found(&torn), (1, 12 * 188));
        assert_eq!(found(&[&whole[..188 * 20], &whole[188 * 20 + 100..]].concat()).1, 88);
    }

    #[test]
    fn other_lengths_and_places_are_read() {
        let timed: Vec<u8> =
            stream(60).iter().flat_map(|packet| [&[1, 2, 3, 4], &packet[..]].concat()).collect();
        assert_eq!(found(&timed), (0, 0));
        let mut packets = read(&stream(30).concat());
        packets.read(1_000_000, &[0x55; 5000]);
        packets.read(0, &stream(30).concat());
        assert_eq!((packets.torn(STREAM.into()), packets.strange()), (0, 0));
        assert_eq!(found(&[0x55; 20_000]), (0, 0));
        assert!(read(&[0; 1_000_000]).rest.len() < 1000);
    }

    #[test]
    fn a_stream_may_end_within_a_packet() {
        let whole = stream(30).concat();
        assert!(!read(&whole).is_cut(188 * 30));
        assert!(read(&whole[..188 * 20 + 7]).is_cut(188 * 20 + 7));
        assert!(!read(&whole[..188 * 20 + 7]).is_cut(188 * 30), "it was not read to its end");
    }

    #[test]
    fn programs_are_counted() {
        let table = [
            0, 0, 0xb0, 21, 0, 1, 0xc1, 0, 0, 0, 0, 0xe0, 0x10, 0, 10, 0xe0, 0x20, 0, 20, 0xe0, 0x30, 1, 2,
            3, 4,
        ];
        assert_eq!(programs(&table), Some(2));
        assert_eq!(programs(&[]), None);
        assert_eq!(programs(&[0, 0, 0xff, 0xff, 0]), None);
        assert_eq!(programs(&[0xff, 0]), None);
    }
}
