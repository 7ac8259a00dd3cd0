//! Events and frames as Parquet.

use crate::events::{Event, EventRegion};
use crate::records::Record;
use crate::results::{Sink, Video};
use crate::time::seconds;
use ::parquet::basic::Compression;
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use ::parquet::errors::Result;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;
use std::sync::Arc;

/// Rows of a row group: what is in memory at a time.
const ROW_GROUP: usize = 1 << 16;

const EVENTS: &str = "message events {
    required binary video (utf8);
    required int32 event;
    optional double start;
    optional double end;
    optional double peak;
    required double peak_score;
    required double peak_normalized;
    required int64 first_frame;
    required int64 last_frame;
    required int64 peak_frame;
    required int64 frames;
    required group regions (list) {
        repeated group list {
            required group element {
                required int32 x;
                required int32 y;
                required int32 width;
                required int32 height;
                required double score;
                required double area;
            }
        }
    }
    required binary still (utf8);
    required binary overlay (utf8);
}";

const FRAMES: &str = "message frames {
    required binary video (utf8);
    required int64 frame;
    optional double time;
    required double score;
    required double normalized;
    required boolean anomalous;
    required binary level (utf8);
}";

type Out<'a> = &'a mut dyn Sink;

fn writer<'a>(schema: &str, out: Out<'a>) -> Result<SerializedFileWriter<Out<'a>>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("gst-plugin-anomaly ", env!("CARGO_PKG_VERSION")).into());
    SerializedFileWriter::new(out, Arc::new(parse_message_type(schema)?), Arc::new(properties.build()))
}

/// The columns of one row group, from left to right.
struct Columns<'a, 'b>(SerializedRowGroupWriter<'a, Out<'b>>);

impl Columns<'_, '_> {
    fn column<T: DataType>(
        &mut self,
        values: &[T::T],
        definitions: Option<&[i16]>,
        repetitions: Option<&[i16]>,
    ) -> Result<()> {
        let missing = || ::parquet::errors::ParquetError::General("more columns than the schema has".into());
        let mut column = self.0.next_column()?.ok_or_else(missing)?;
        column.typed::<T>().write_batch(values, definitions, repetitions)?;
        column.close()
    }

    fn required<T: DataType>(&mut self, values: impl Iterator<Item = T::T>) -> Result<()> {
        self.column::<T>(&values.collect::<Vec<_>>(), None, None)
    }

    fn times(&mut self, times: impl Iterator<Item = Option<u64>>) -> Result<()> {
        let mut known = Vec::new();
        let definitions: Vec<i16> = times
            .map(|time| {
                known.extend(time.map(seconds));
                time.is_some().into()
            })
            .collect();
        self.column::<DoubleType>(&known, Some(&definitions), None)
    }

    /// A column of the regions' list: 0 rows of an event without any are not defined, and rows but an event's first repeat.
    fn regions<T: DataType>(&mut self, rows: &[Row<'_>], value: impl Fn(&EventRegion) -> T::T) -> Result<()> {
        let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let regions = &row.event.regions;
            values.extend(regions.iter().map(&value));
            definitions.extend(std::iter::repeat_n(1, regions.len()));
            definitions.extend(regions.is_empty().then_some(0));
            repetitions.push(0);
            repetitions.extend(std::iter::repeat_n(1, regions.len().saturating_sub(1)));
        }
        self.column::<T>(&values, Some(&definitions), Some(&repetitions))
    }
}

/// A row of the events' table.
struct Row<'a> {
    video: &'a Video,
    number: usize,
    event: &'a Event,
    peak: &'a Record,
}

/// One row for each event.
pub fn events(videos: &[Video], out: Out<'_>) -> anyhow::Result<()> {
    let rows: Vec<Row> = videos
        .iter()
        .flat_map(|video| {
            let events = video.events.iter().zip(&video.peaks).enumerate();
            events.map(move |(i, (event, peak))| Row { video, number: i + 1, event, peak })
        })
        .collect();
    let text = |text: &str| ByteArray::from(text);
    let still = |row: &Row| row.video.stills(row.number)[0].clone();
    let overlay = |row: &Row| row.video.stills(row.number)[1].clone();
    let mut file = writer(EVENTS, out)?;
    for rows in rows.chunks(ROW_GROUP) {
        let mut columns = Columns(file.next_row_group()?);
        columns.required::<ByteArrayType>(rows.iter().map(|row| text(&row.video.state.video)))?;
        columns.required::<Int32Type>(rows.iter().map(|row| row.number as i32))?;
        columns.times(rows.iter().map(|row| row.event.first.time))?;
        columns.times(rows.iter().map(|row| row.event.end))?;
        columns.times(rows.iter().map(|row| row.event.peak.time))?;
        columns.required::<DoubleType>(rows.iter().map(|row| row.peak.score))?;
        columns.required::<DoubleType>(rows.iter().map(|row| row.peak.normalized))?;
        columns.required::<Int64Type>(rows.iter().map(|row| row.event.first.frame as i64))?;
        columns.required::<Int64Type>(rows.iter().map(|row| row.event.last.frame as i64))?;
        columns.required::<Int64Type>(rows.iter().map(|row| row.event.peak.frame as i64))?;
        columns.required::<Int64Type>(rows.iter().map(|row| row.event.frames() as i64))?;
        columns.regions::<Int32Type>(rows, |region| region.x as i32)?;
        columns.regions::<Int32Type>(rows, |region| region.y as i32)?;
        columns.regions::<Int32Type>(rows, |region| region.width as i32)?;
        columns.regions::<Int32Type>(rows, |region| region.height as i32)?;
        columns.regions::<DoubleType>(rows, |region| region.score)?;
        columns.regions::<DoubleType>(rows, |region| region.area)?;
        columns.required::<ByteArrayType>(rows.iter().map(|row| text(&still(row))))?;
        columns.required::<ByteArrayType>(rows.iter().map(|row| text(&overlay(row))))?;
        columns.0.close()?;
    }
    file.close()?;
    Ok(())
}

/// One row for each inspected frame.
pub fn frames(videos: &[Video], out: Out<'_>) -> anyhow::Result<()> {
    let mut file = writer(FRAMES, out)?;
    let mut rows: Vec<(ByteArray, Record)> = Vec::with_capacity(ROW_GROUP);
    for video in videos {
        let name = ByteArray::from(video.state.video.as_str());
        for record in video.records()? {
            rows.push((name.clone(), record?));
            if rows.len() == ROW_GROUP {
                frame_rows(&mut file, &rows)?;
                rows.clear();
            }
        }
    }
    if !rows.is_empty() {
        frame_rows(&mut file, &rows)?;
    }
    file.close()?;
    Ok(())
}

fn frame_rows(file: &mut SerializedFileWriter<Out<'_>>, rows: &[(ByteArray, Record)]) -> Result<()> {
    let mut columns = Columns(file.next_row_group()?);
    columns.required::<ByteArrayType>(rows.iter().map(|(name, _)| name.clone()))?;
    columns.required::<Int64Type>(rows.iter().map(|(_, record)| record.frame as i64))?;
    columns.times(rows.iter().map(|(_, record)| record.time))?;
    columns.required::<DoubleType>(rows.iter().map(|(_, record)| record.score))?;
    columns.required::<DoubleType>(rows.iter().map(|(_, record)| record.normalized))?;
    columns.required::<BoolType>(rows.iter().map(|(_, record)| record.anomalous()))?;
    columns.required::<ByteArrayType>(rows.iter().map(|(_, record)| record.level.name().into()))?;
    columns.0.close()?;
    Ok(())
}
