'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const make = (tag, parent, text) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  return parent.appendChild(node);
};
const makeSvg = (tag, parent, attributes, title) => {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  Object.entries(attributes).forEach(([name, value]) =>
    node.setAttribute(name, value));
  if (title) makeSvg('title', node, {}).textContent = title;
  return parent.appendChild(node);
};
const percent = share => `${(100 * share).toFixed(1)}%`;

// The hues of up to 12 classes are equidistant. With more classes, the hues of
// consecutive classes differ by the golden angle.
function color(label) {
  const number = data.classes.length;
  if (number <= 12) {
    return `hsl(${360 * label / number} 65% ${[42, 58][label % 2]}%)`;
  }
  return `hsl(${137.508 * label % 360} ${[75, 45][label % 2]}% `
    + `${[38, 52, 66][label % 3]}%)`;
}

function drawFigure(parent, size, name, caption) {
  const figure = make('figure', parent);
  const svg = makeSvg('svg', figure, {
    class: name, viewBox: `0 0 ${size[0]} ${size[1]}`});
  make('figcaption', figure, caption);
  return svg;
}

function drawClasses(section) {
  const list = make('div', section);
  list.id = 'classes';
  data.classes.forEach((name, label) => {
    const button = make('button', list);
    make('i', button).style.background = color(label);
    button.append(name);
    button.setAttribute('aria-pressed', 'false');
    button.onclick = () => highlight(
      button.getAttribute('aria-pressed') === 'true' ? null : label);
  });
}

function highlight(label) {
  document.querySelectorAll('#classes button').forEach((button, index) =>
    button.setAttribute('aria-pressed', String(index === label)));
  document.querySelectorAll('.p').forEach(point => point.classList.toggle(
    'dim', label !== null && point.dataset.label !== String(label)));
}

function openInPlayer(place) {
  const player = document.getElementById('player');
  player.contentWindow.open(place);
  player.scrollIntoView();
}

function drawPlot(parent, {caption, points}) {
  const svg = drawFigure(parent, [340, 340], 'tsne', caption);
  points.forEach(({place, label, taken, name, opens}) => {
    const wrong = label !== taken;
    const point = makeSvg('circle', svg, {
      class: 'p' + (wrong ? ' wrong' : ''), cx: 8 + 324 * place[0],
      cy: 8 + 324 * place[1], r: 3.2, fill: color(label)},
    `${name}: ${data.classes[label]}`
      + (wrong ? `, classified as ${data.classes[taken]}` : ''));
    point.dataset.label = label;
    if (opens === null) return;
    point.classList.add('opens');
    point.dataset.opens = opens;
    point.onclick = () => openInPlayer(opens);
  });
}

function drawTable(section, {head, rows, changes}) {
  const table = make('table', section);
  const line = make('tr', table);
  head.concat(changes ? ['change', ''] : []).forEach(name =>
    make('th', line, name));
  const largest = Math.max(...(changes || []).map(Math.abs)) || 1;
  const digits = (changes || []).every(Number.isInteger) ? 0 : 1;
  rows.forEach((row, index) => {
    const line = make('tr', table);
    row.forEach(cell => make('td', line, cell));
    if (!changes) return;
    const change = changes[index];
    make('td', line, (change < 0 ? '' : '+') + change.toFixed(digits));
    const svg = makeSvg('svg', make('td', line),
      {class: 'bar', width: 120, height: 12});
    const width = 60 * Math.abs(change) / largest;
    makeSvg('rect', svg, {x: change > 0 ? 60 : 60 - width, width, height: 12});
    makeSvg('path', svg, {d: 'M60 0v12'});
  });
}

function drawPose(row, {caption, places, shares, frames}) {
  const [size, bars] = [150, 40];
  const svg = drawFigure(row, [size, size + bars], 'attention', caption);
  const pixels = places.map(place => place && [
    size / 2 * (1 + 0.84 * place[0]), size / 2 * (1 - 0.84 * place[1])]);
  data.edges.forEach(([i, j]) => {
    if (!pixels[i] || !pixels[j]) return;
    makeSvg('path', svg, {d: `M${pixels[i]}L${pixels[j]}`});
  });
  pixels.forEach((pixel, joint) => {
    if (!pixel) return;
    const share = shares ? shares[joint] : 1 / pixels.length;
    makeSvg('circle', svg, {
      cx: pixel[0], cy: pixel[1], r: 4 * Math.sqrt(share * pixels.length)},
    data.joints[joint] + (shares ? `: ${percent(share)}` : ''));
  });
  const [width, most] = [size / frames.length, Math.max(...frames)];
  frames.forEach((share, index) => makeSvg('rect', svg, {
    x: index * width, y: size + bars * (1 - share / most), width: width - 1,
    height: bars * share / most}, percent(share)));
}

function drawRow(section) {
  const row = make('div', section);
  row.className = 'row';
  return row;
}

const find = id => document.getElementById(id);
find('models').textContent = `Test set: ${data.sequences} sequences. Top-1: `
  + data.models.map(({title, files, top1}) =>
    `${title} ${top1.toFixed(2)} % (${files.join(', ')})`).join(', ') + '.'
  + (data.models.length < 2 ? '' : ' Models that differ only in the training '
    + 'seed also differ, so a single difference may be due to chance.');
drawClasses(find('features'));
data.plots.forEach(plots => {
  const row = drawRow(find('features'));
  plots.forEach(plot => drawPlot(row, plot));
});
Object.entries(data.tables).forEach(([id, table]) =>
  drawTable(find(id), table));
const row = drawRow(find('attention'));
data.poses.forEach(pose => drawPose(row, pose));
if (!data.poses.length) find('attention').remove();
