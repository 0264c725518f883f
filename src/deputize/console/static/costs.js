// Draws the charts of the costs page from the tables behind them. Without it, the drawing of the server stays.
(() => {
  "use strict";
  const dollars = (value) => (value >= 1 || value === 0 ? value.toFixed(2) : value.toFixed(4));

  function read(table) {
    const rows = [...table.tBodies[0].rows];
    return [
      rows.map((row) => Date.parse(row.querySelector("[data-day]").dataset.day) / 1000),
      rows.map((row) => Number(row.querySelector("[data-micros]").dataset.micros) / 1e6),
    ];
  }

  function draw(place) {
    const table = document.getElementById(place.dataset.chart);
    if (!table || !window.uPlot) return;
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const data = read(table);
    place.replaceChildren();
    new uPlot(
      {
        width: place.clientWidth,
        height: 220,
        legend: { show: false },
        cursor: { show: false },
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        scales: {
          x: { range: (_, least, most) => [least - 43200, most + 43200] },
          y: { range: (_, __, most) => [0, most || 1] },
        },
        axes: [
          { ...axis, grid: { show: false }, size: 34, values: "{D} {MMM}", space: 60, incrs: [1, 2, 3, 5, 7, 10, 14, 30].map((n) => n * 86400) },
          { ...axis, size: 70, values: (_, marks) => marks.map(dollars) },
        ],
        series: [
          {},
          { fill: colour("--accent"), stroke: colour("--accent"), paths: uPlot.paths.bars({ size: [0.7, 48] }), points: { show: false } },
        ],
      },
      data,
      place,
    );
  }

  const all = () => document.querySelectorAll("[data-chart]").forEach(draw);
  let wait = 0;
  addEventListener("resize", () => {
    clearTimeout(wait);
    wait = setTimeout(all, 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  all();
})();
