//! Colour tables of the heat map.
//!
//! Turbo (A. Mikhailov, 2019), inferno and viridis (S. van der Walt, N. Smith, 2015) are polynomials of degree 6 fitted to
//! the published tables by M. Zucker (CC0, <https://www.shadertoy.com/view/WlfXRN> and `3lBXR3`).

use super::Colormap;

/// Entries of a table.
pub(super) const ENTRIES: usize = 256;
/// Normalised values up to here are calm: the picture shows through untouched.
const CALM: f64 = 0.25;
/// From this normalised value on the heat map has its full opacity.
const HOT: f64 = 0.55;

/// Coefficients of red, green and blue, the constant first.
type Polynomial = [[f64; 3]; 7];

const TURBO: Polynomial = [
    [0.1140890109226559, 0.06288340699912215, 0.2248337216805064],
    [6.716419496985708, 3.182286745507602, 7.571581586103393],
    [-66.09402360453038, -4.9279827041226, -10.09439367561635],
    [228.7660791526501, 25.04986699771073, -91.54105330182436],
    [-334.8351565777451, -69.31749712757485, 288.5858850615712],
    [218.7637218434795, 67.52150567819112, -305.2045772184957],
    [-52.88903478218835, -21.54527364654712, 110.5174647748972],
];

const INFERNO: Polynomial = [
    [0.0002189403691192265, 0.001651004631001012, -0.01948089843709184],
    [0.1065134194856116, 0.5639564367884091, 3.932712388889277],
    [11.60249308247187, -3.972853965665698, -15.9423941062914],
    [-41.70399613139459, 17.43639888205313, 44.35414519872813],
    [77.162935699427, -33.40235894210092, -81.80730925738993],
    [-71.31942824499214, 32.62606426397723, 73.20951985803202],
    [25.13112622477341, -12.24266895238567, -23.07032500287172],
];

const VIRIDIS: Polynomial = [
    [0.2777273272234177, 0.005407344544966578, 0.3340998053353061],
    [0.1050930431085774, 1.404613529898575, 1.384590162594685],
    [-0.3308618287255563, 0.214847559468213, 0.09509516302823659],
    [-4.634230498983486, -5.799100973351585, -19.33244095627987],
    [6.228269936347081, 14.17993336680509, 56.69055260068105],
    [4.776384997670288, -13.74514537774601, -65.35303263337234],
    [-5.435455855934631, 4.645852612178535, 26.3124352495832],
];

/// Premultiplied ARGB of each level, from calm to hot, ready to be written into a surface.
#[derive(Debug)]
pub(super) struct Table {
    colours: [u32; ENTRIES],
}

impl Table {
    pub(super) fn new(colormap: Colormap, opacity: f64) -> Self {
        let colours = std::array::from_fn(|level| {
            let value = level as f64 / (ENTRIES - 1) as f64;
            premultiplied(colour(colormap, value), opacity.clamp(0.0, 1.0) * ramp(value))
        });
        Self { colours }
    }

    /// The pixel of a level between 0 and 255.
    #[inline]
    pub(super) fn pixel(&self, level: u8) -> u32 {
        self.colours[usize::from(level)]
    }

    /// The lowest level that can be seen.
    pub(super) fn first_visible(&self) -> Option<u8> {
        self.colours.iter().position(|colour| colour >> 24 != 0).map(|level| level as u8)
    }
}

/// Opacity of a normalised value, without a visible step at either end.
fn ramp(value: f64) -> f64 {
    let t = ((value - CALM) / (HOT - CALM)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn colour(colormap: Colormap, value: f64) -> [f64; 3] {
    let polynomial = match colormap {
        Colormap::Turbo => &TURBO,
        Colormap::Inferno => &INFERNO,
        Colormap::Viridis => &VIRIDIS,
        Colormap::Jet => {
            return [3.0, 2.0, 1.0].map(|centre| (1.5 - (4.0 * value - centre).abs()).clamp(0.0, 1.0));
        }
    };
    std::array::from_fn(|channel| {
        polynomial.iter().rev().fold(0.0, |sum, term| sum * value + term[channel]).clamp(0.0, 1.0)
    })
}

fn premultiplied(colour: [f64; 3], alpha: f64) -> u32 {
    let byte = |value: f64| (value * alpha * 255.0).round() as u32;
    (byte(1.0) << 24) | (byte(colour[0]) << 16) | (byte(colour[1]) << 8) | byte(colour[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Colormap; 4] = [Colormap::Turbo, Colormap::Jet, Colormap::Inferno, Colormap::Viridis];

    /// Ends and middle of the published tables.
    #[test]
    fn colours_are_those_of_the_published_tables() {
        let published = [
            (Colormap::Turbo, [[0.190, 0.072, 0.232], [0.643, 0.990, 0.234], [0.480, 0.016, 0.011]]),
            (Colormap::Jet, [[0.0, 0.0, 0.5], [0.5, 1.0, 0.5], [0.5, 0.0, 0.0]]),
            (Colormap::Inferno, [[0.001, 0.000, 0.014], [0.736, 0.216, 0.330], [0.988, 0.998, 0.645]]),
            (Colormap::Viridis, [[0.267, 0.005, 0.329], [0.128, 0.567, 0.551], [0.993, 0.906, 0.144]]),
        ];
        for (colormap, points) in published {
            for (value, expected) in [0.0, 0.5, 1.0].into_iter().zip(points) {
                let found = colour(colormap, value);
                for channel in 0..3 {
                    let error = (found[channel] - expected[channel]).abs();
                    assert!(error < 0.08, "{colormap:?} at {value}: {found:?}, published {expected:?}");
                }
            }
        }
    }

    #[test]
    fn calm_values_are_transparent_and_the_rest_rises_to_the_opacity() {
        for colormap in ALL {
            let table = Table::new(colormap, 0.5);
            let alpha = |value: f64| table.pixel((value * 255.0) as u8) >> 24;
            assert_eq!([alpha(0.0), alpha(0.1), alpha(0.25)], [0, 0, 0]);
            assert!((60..=127).contains(&alpha(0.5)));
            assert_eq!([alpha(0.6), alpha(1.0)], [128, 128]);
            assert!(
                (1..256)
                    .all(|level| { table.pixel(level as u8) >> 24 >= table.pixel(level as u8 - 1) >> 24 })
            );
        }
    }

    #[test]
    fn colours_never_exceed_their_alpha() {
        for colormap in ALL {
            let table = Table::new(colormap, 0.7);
            for level in 0..=255 {
                let pixel = table.pixel(level);
                let [alpha, red, green, blue] = pixel.to_be_bytes();
                assert!(red.max(green).max(blue) <= alpha);
            }
        }
    }

    #[test]
    fn without_opacity_nothing_is_visible() {
        assert_eq!(Table::new(Colormap::Turbo, 0.0).first_visible(), None);
    }
}
