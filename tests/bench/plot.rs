//! Line charts as SVG, one above the other over the same seconds.
//!
//! Text is set by whoever shows the picture, so no font is needed here. The picture brings its own
//! background, and so is legible on a dark page as well.

/// Width of the picture, in pixels.
const WIDTH: f64 = 960.0;

/// Where the charts begin and end, from the left; the legends are on their right.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 820.0;

/// Room above the first chart, where the phases are named.
const TOP: f64 = 150.0;

/// Room between the names of two phases.
const LABEL_GAP: f64 = 20.0;

/// Height of the first chart and of the others.
const HEIGHTS: [f64; 2] = [260.0, 110.0];

/// Room between charts, and below the last one.
const GAP: f64 = 30.0;
const BOTTOM: f64 = 50.0;

/// Colours that are told apart by all eyes, also on white (Okabe and Ito).
const COLOURS: [&str; 8] = [
    "#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f",
];

/// Charts over the same time.
pub struct Plot {
    /// What was going on: since when, in seconds, and its name.
    pub phases: Vec<(f64, &'static str)>,
    /// The charts, from above.
    pub panels: [Panel; 2],
}

/// One chart.
pub struct Panel {
    /// What its values are, with the unit.
    pub label: &'static str,
    /// Its vertical axis.
    pub scale: Scale,
    /// Its lines.
    pub series: Vec<Series>,
}

/// A line.
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Seconds and values.
    pub points: Vec<(f64, f64)>,
}

/// A vertical axis.
#[derive(Clone, Copy)]
pub enum Scale {
    /// From zero.
    Linear,
    /// From one, in powers of ten.
    Logarithmic,
}

impl Plot {
    /// The picture.
    pub fn to_svg(&self) -> String {
        let height = TOP + HEIGHTS.iter().sum::<f64>() + GAP + BOTTOM;
        let seconds = self.seconds();
        let x = |at: f64| LEFT + at / seconds * (RIGHT - LEFT);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
        );
        let mut top = TOP;
        for (panel, height) in self.panels.iter().zip(HEIGHTS) {
            svg += &panel.to_svg(top, height, x);
            top += height + GAP;
        }
        svg += &self.draw_phases(height - BOTTOM, x);
        svg += &draw_seconds(seconds, height - BOTTOM, x);
        svg + "</svg>\n"
    }

    /// The last second of all lines.
    fn seconds(&self) -> f64 {
        let series = self.panels.iter().flat_map(|panel| &panel.series);
        let points = series.flat_map(|series| &series.points);
        points.map(|(at, _)| *at).fold(1.0, f64::max)
    }

    fn draw_phases(&self, bottom: f64, x: impl Fn(f64) -> f64) -> String {
        let mut svg = String::new();
        let mut label = 0.0;
        for (at, name) in &self.phases {
            let x = x(*at);
            // Names of short phases stand beside each other all the same.
            label = x.max(label + LABEL_GAP);
            svg += &line([x, TOP - 5.0], [x, bottom], "#999", "4 3");
            svg += &line([x, TOP - 5.0], [label, TOP - 15.0], "#999", "");
            svg += &format!(
                "<text transform=\"translate({:.1} {:.1}) rotate(-40)\">{name}</text>\n",
                label + 4.0,
                TOP - 16.0
            );
        }
        svg
    }
}

fn draw_seconds(seconds: f64, bottom: f64, x: impl Fn(f64) -> f64) -> String {
    let ticks = ticks(seconds).into_iter().map(|at| {
        line([x(at), bottom], [x(at), bottom + 5.0], "#222", "")
            + &text([x(at), bottom + 20.0], "middle", &at.to_string())
    });
    let label = text([(LEFT + RIGHT) / 2.0, bottom + 40.0], "middle", "seconds");
    ticks.collect::<String>() + &label
}

impl Panel {
    fn to_svg(&self, top: f64, height: f64, x: impl Fn(f64) -> f64) -> String {
        let (ticks, share) = self.axis();
        let y = |value: f64| top + height * (1.0 - share(value));
        let mut svg = format!(
            "<text transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
            top + height / 2.0,
            self.label
        );
        for tick in ticks {
            svg += &line([LEFT, y(tick)], [RIGHT, y(tick)], "#ddd", "");
            svg += &text([LEFT - 8.0, y(tick) + 4.0], "end", &tick.to_string());
        }
        let mut lines: Vec<&Series> = self.series.iter().collect();
        // The legend has them in the order of their ends, from above.
        let end = |series: &Series| series.points.last().map_or(0.0, |(_, value)| *value);
        lines.sort_by(|a, b| end(b).total_cmp(&end(a)));
        for (place, (series, colour)) in lines.into_iter().zip(COLOURS).enumerate() {
            let points = series.points.iter();
            let points = points.map(|(at, value)| format!("{:.1},{:.1} ", x(*at), y(*value)));
            svg += &format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n",
                points.collect::<String>()
            );
            let middle = top + 10.0 + 18.0 * place as f64;
            svg += &format!(
                "<rect x=\"{}\" y=\"{}\" width=\"14\" height=\"3\" fill=\"{colour}\"/>\n",
                RIGHT + 12.0,
                middle - 1.5
            );
            svg += &text([RIGHT + 32.0, middle + 4.0], "start", &series.name);
        }
        svg
    }

    /// The ticks, and at which share of the height a value is.
    fn axis(&self) -> (Vec<f64>, Box<dyn Fn(f64) -> f64>) {
        let points = self.series.iter().flat_map(|series| &series.points);
        let most = points.map(|(_, value)| *value).fold(1.0, f64::max);
        match self.scale {
            Scale::Linear => (ticks(most), Box::new(move |value| value / most)),
            Scale::Logarithmic => {
                let decades = most.log10().ceil().max(1.0);
                let ticks = (0..=decades as i32).map(|power| 10_f64.powi(power));
                let share = move |value: f64| value.max(1.0).log10() / decades;
                (ticks.collect(), Box::new(share))
            }
        }
    }
}

/// Round numbers from 0 up to `most`: four to eight of them.
fn ticks(most: f64) -> Vec<f64> {
    let power = 10_f64.powf((most / 4.0).log10().floor());
    let steps = [5.0, 2.0, 1.0].map(|factor| factor * power);
    let step = steps.into_iter().find(|step| most / step >= 4.0);
    let step = step.unwrap_or(power);
    (0..=(most / step) as u32)
        .map(|number| f64::from(number) * step)
        .collect()
}

fn line(from: [f64; 2], to: [f64; 2], colour: &str, dashes: &str) -> String {
    let ([x1, y1], [x2, y2]) = (from, to);
    format!(
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" \
         stroke-dasharray=\"{dashes}\"/>\n"
    )
}

fn text(at: [f64; 2], anchor: &str, text: &str) -> String {
    let [x, y] = at;
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n")
}
