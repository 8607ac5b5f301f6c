//! The picture of a run: how full the fleet was and how long jobs waited, over time.

use anyhow::Result;
use plotters::{
    prelude::{ChartBuilder, IntoDrawingArea, LineSeries, SVGBackend},
    style::{BLACK, BLUE, Color, RED, WHITE},
};

use super::report::{FleetReport, Sample};

const SIZE: (u32, u32) = (900, 560);

/// An SVG of two charts over the same seconds.
pub fn picture(report: &FleetReport) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (upper, lower) = area.split_vertically(SIZE.1 / 2);
        let title = format!(
            "{} simulated nodes, {} jobs: how full devices are, percent of their ceilings",
            report.nodes, report.jobs
        );
        chart(&upper, &title, report, 100.0, &BLUE, |sample| Some(sample.filled_percent))?;
        let most = report.samples.iter().filter_map(|sample| sample.wait_s).fold(1.0, f64::max);
        chart(&lower, "median wait of the jobs that start, seconds", report, most, &RED, |sample| sample.wait_s)?;
        area.present()?;
    }
    Ok(svg)
}

fn chart<B: plotters::prelude::DrawingBackend>(
    area: &plotters::prelude::DrawingArea<B, plotters::coord::Shift>,
    title: &str,
    report: &FleetReport,
    most: f64,
    colour: &plotters::style::RGBColor,
    of: impl Fn(&Sample) -> Option<f64>,
) -> Result<()>
where
    B::ErrorType: 'static,
{
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..report.seconds.max(1.0), 0.0..most * 1.05)?;
    chart.configure_mesh().axis_style(BLACK.mix(0.5)).x_desc("seconds").light_line_style(WHITE).draw()?;
    let points = report.samples.iter().filter_map(|sample| Some((sample.seconds, of(sample)?)));
    chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
    Ok(())
}
