import type { Chart as ChartJs } from 'chart.js';

import type { IStack } from './usageChart.js';
import { figureText } from './usageText.js';

/** JupyterLab's own palette, which is told apart in light and in dark, for colour-blind eyes too. */
const COLOURS = [
  '#0072b2',
  '#e69f00',
  '#009e73',
  '#cc79a7',
  '#56b4e9',
  '#d55e00',
  '#8c7ae6',
  '#999999'
];

/** Stacked bars on a canvas. */
export class StackedBars {
  constructor(private readonly _canvas: HTMLCanvasElement) {}

  /** Draw these stacks, one bar a step. */
  async show(
    title: string,
    steps: readonly string[],
    stacks: readonly IStack[]
  ): Promise<void> {
    // Only now: who never looks at a chart does not load the library.
    const chart = this._chart ?? (await this._make());
    if (this._isDisposed) {
      return;
    }
    chart.data = {
      labels: [...steps],
      datasets: stacks.map(({ name, values }, place) => ({
        label: name,
        data: values,
        backgroundColor: COLOURS[place % COLOURS.length],
        borderWidth: 0
      }))
    };
    const style = getComputedStyle(this._canvas);
    const ink = style.getPropertyValue('--jp-ui-font-color1');
    const line = style.getPropertyValue('--jp-border-color2');
    chart.options.color = ink;
    chart.options.scales = {
      x: { stacked: true, ticks: { color: ink }, grid: { display: false } },
      y: {
        stacked: true,
        beginAtZero: true,
        title: { display: true, text: title, color: ink },
        ticks: { color: ink },
        grid: { color: line }
      }
    };
    chart.update('none');
  }

  /** Let go of the canvas. */
  dispose(): void {
    this._isDisposed = true;
    this._chart?.destroy();
  }

  private async _make(): Promise<ChartJs> {
    const {
      BarController,
      BarElement,
      CategoryScale,
      Chart,
      Legend,
      LinearScale,
      Tooltip
    } = await import('chart.js');
    Chart.register(
      BarController,
      BarElement,
      CategoryScale,
      Legend,
      LinearScale,
      Tooltip
    );
    // Another call may have been quicker, and a canvas holds one chart.
    this._chart ??= new Chart(this._canvas, {
      type: 'bar',
      data: { datasets: [] },
      options: {
        animation: false,
        maintainAspectRatio: false,
        interaction: { mode: 'index' },
        plugins: {
          legend: { position: 'bottom' },
          tooltip: {
            callbacks: {
              label: ({ dataset, parsed }) =>
                `${dataset.label}: ${figureText(parsed.y ?? 0)}`
            }
          }
        }
      }
    });
    if (this._isDisposed) {
      this._chart.destroy();
    }
    return this._chart;
  }

  private _chart: ChartJs | null = null;
  private _isDisposed = false;
}
