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

// The first classes differ only in color; further classes also differ in shape,
// and those after 42 in shade.
const SHAPES = ['M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0', 'M-3 -3h6v6h-6z',
  'M0 -4L4 3H-4z', 'M0 -4.2L4.2 0L0 4.2L-4.2 0z', 'M0 4L4 -3H-4z',
  'M-1.5 -4h3v2.5h2.5v3h-2.5v2.5h-3v-2.5h-2.5v-3h2.5z'];
const drawMark = (svg, label, attributes, title) => makeSvg('path', svg, {
  fill: data.colors[label % 7 + 7 * (Math.floor(label / 42) % 3)],
  d: SHAPES[Math.floor(label / 7) % SHAPES.length],
  ...attributes}, title);

function drawFigure(parent, size, name, caption) {
  const figure = make('figure', parent);
  const svg = makeSvg('svg', figure, {
    class: name, viewBox: `0 0 ${size[0]} ${size[1]}`, role: 'group',
    'aria-label': caption});
  make('figcaption', figure, caption);
  return svg;
}

function drawClasses(section) {
  const list = make('div', section);
  list.id = 'classes';
  data.classes.forEach((name, label) => {
    const button = make('button', list);
    drawMark(makeSvg('svg', button, {viewBox: '-5 -5 10 10'}), label, {});
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

// Plot features; places contains one [x, y] for each sequence.
function drawPlot(parent, caption, {places}, predictions) {
  const svg = drawFigure(parent, [340, 340], 'tsne', caption);
  places.forEach((place, index) => {
    const [label, taken] = [data.labels[index], predictions[index]];
    const [opens, wrong] = [data.opens[index], label !== taken];
    const [x, y] = place.map(share => (8 + 324 * share).toFixed(1));
    const point = drawMark(svg, label, {
      class: 'p' + (wrong ? ' wrong' : ''),
      transform: `translate(${x} ${y}) scale(${opens === null ? 1 : 1.6})`},
    `${data.names[index]}: ${data.classes[label]}`
      + (wrong ? `, classified as ${data.classes[taken]}` : ''));
    point.dataset.label = label;
    if (opens === null) return;
    point.classList.add('opens');
    point.dataset.opens = opens;
    point.onclick = () => openInPlayer(opens);
  });
}

// Draw a table; rows are {cells, change}. better is the sign of improvements; if
// it is 0, the table shows no changes.
function drawTable(section, head, rows, better = 0) {
  const table = make('table', section);
  const line = make('tr', table);
  head.concat(better ? ['change', ''] : []).forEach(name =>
    make('th', line, name));
  const largest = Math.max(...rows.map(row => Math.abs(row.change))) || 1;
  const digits = rows.every(row => Number.isInteger(row.change)) ? 0 : 1;
  rows.forEach(({cells, change}) => {
    const line = make('tr', table);
    cells.forEach(cell => make('td', line, cell));
    if (!better) return;
    make('td', line, (change > 0 ? '+' : '') + change.toFixed(digits)
      + (change ? [' worse', ' better'][Number(change * better > 0)] : ''));
    const svg = makeSvg('svg', make('td', line),
      {class: 'bar', width: 120, height: 12});
    const width = 60 * Math.abs(change) / largest;
    makeSvg('rect', svg, {x: change > 0 ? 60 : 60 - width, width, height: 12,
      class: change * better > 0 ? 'better' : 'worse'});
    makeSvg('path', svg, {d: 'M60 0v12'});
  });
}

const sum = values => values.reduce((total, value) => total + value, 0);

// Return the accuracy of each class in percent, or null without sequences.
const accuracies = ({confusion}) => confusion.map((row, label) =>
  sum(row) ? 100 * row[label] / sum(row) : null);

function drawSummary(section) {
  drawTable(section, ['model', 'sequences', 'top-1, %', 'class mean, %',
    'config', 'checkpoint'], data.models.map(model => {
    const total = sum(model.confusion.flat());
    const known = accuracies(model).filter(value => value !== null);
    return {cells: [model.title, total, model.top1,
      (sum(known) / known.length).toFixed(2), model.config,
      model.checkpoint]};
  }));
}

function drawMeasures(section) {
  const rows = data.models.flatMap(({title, features}) =>
    Object.entries(features).map(([name, {measures}]) => ({cells: [
      `${name}, ${title}`,
      ...Object.values(measures).map(value => value.toFixed(2))]})));
  const [{measures}] = Object.values(data.models[0].features);
  drawTable(section, ['features', ...Object.keys(measures)], rows);
}

function drawAccuracy(section) {
  const columns = data.models.map(accuracies);
  const rows = data.classes.map((name, label) => ({
    cells: [name, sum(data.models[0].confusion[label]),
      ...columns.map(column => (column[label] || 0).toFixed(2))],
    change: columns[columns.length - 1][label] - columns[0][label]
  })).filter(row => row.cells[1]);
  if (columns.length > 1) rows.sort((a, b) => b.change - a.change);
  drawTable(section, ['class', 'sequences',
    ...data.models.map(({title}) => `${title}, %`)], rows,
  columns.length > 1 ? 1 : 0);
}

// Draw the pairs of classes with the most confusions or the largest changes.
function drawPairs(section, most = 10) {
  const two = data.models.length > 1;
  const rows = data.classes.flatMap((name, a) => data.classes.slice(0, a).map(
    (other, b) => {
      const counts = data.models.map(
        ({confusion}) => confusion[a][b] + confusion[b][a]);
      return {cells: [`${other} / ${name}`, ...counts],
        change: two ? counts[1] - counts[0] : -counts[0]};
    })).filter(row => row.change);
  if (!rows.length) return section.remove();
  rows.sort((x, y) => Math.abs(y.change) - Math.abs(x.change));
  rows.splice(most);
  rows.sort((x, y) => x.change - y.change);
  drawTable(section, ['classes', ...data.models.map(({title}) => title)],
    rows, two ? -1 : 0);
}

// Draw a scalar of all models; curves are {title, epochs, values, color}.
function drawCurves(parent, key, curves) {
  const [width, height, left, low] = [340, 220, 44, 30];
  const svg = drawFigure(parent, [width, height], 'curve', key);
  const last = Math.max(...curves.flatMap(curve => curve.epochs));
  const all = curves.flatMap(curve => curve.values);
  const [least, most] = [Math.min(0, ...all), Math.max(...all)];
  const x = epoch => left + (width - left - 8) * epoch / last;
  const y = value => height - low
    - (height - low - 10) * (value - least) / (most - least || 1);
  [0, 0.5, 1].forEach(share => {
    const value = least + share * (most - least);
    makeSvg('path', svg, {d: `M${left} ${y(value)}H${width - 8}`});
    makeSvg('text', svg, {x: left - 5, y: y(value) + 4,
      'text-anchor': 'end'}).textContent = value.toFixed(2);
    makeSvg('text', svg, {x: x(share * last), y: height - 12,
      'text-anchor': ['start', 'middle', 'end'][2 * share]}
    ).textContent = Number((share * last).toFixed(1));
  });
  curves.forEach(({title, epochs, values, color}, index) => {
    const group = makeSvg('g', svg, {color});
    const line = epochs.map((epoch, place) =>
      `${x(epoch).toFixed(1)} ${y(values[place]).toFixed(1)}`).join('L');
    // the first point is repeated to draw a dot if it is the only one
    makeSvg('path', group, {class: epochs.length > 1 ? 'line' : 'line dot',
      d: `M${line.split('L')[0]}L${line}`}, title);
    makeSvg('text', group, {class: 'name', x: width - 12,
      'text-anchor': 'end', y: height / 2 + 18 * index}).textContent = title;
  });
}

// Draw a class-by-class matrix; paint() returns a cell's color and title.
function drawMatrix(parent, caption, paint) {
  const number = data.classes.length, named = number <= 30;
  const pen = document.createElement('canvas').getContext('2d');
  pen.font = '11px system-ui, sans-serif';
  const edge = named ? 12 + Math.max(...data.classes.map(
    name => pen.measureText(name.slice(0, 31)).width)) : 10;
  const side = 340, cell = side / number;
  const svg = drawFigure(parent, [edge + side, side + edge], 'matrix',
    caption);
  data.classes.forEach((name, row) => {
    data.classes.forEach((other, column) => {
      const [fill, title] = paint(row, column);
      if (!fill) return;
      makeSvg('rect', svg, {x: edge + column * cell, y: row * cell,
        width: cell, height: cell, fill}, `${name}, classified as ${other}: `
        + title);
    });
    if (!named) return;
    const text = name.length > 31 ? `${name.slice(0, 30)}\u2026` : name;
    const middle = (row + 0.5) * cell, style = {'text-anchor': 'end'};
    makeSvg('text', svg, {x: edge - 5, y: middle + 4, ...style}
    ).textContent = text;
    makeSvg('text', svg, {...style, transform:
      `translate(${edge + middle + 4} ${side + 5}) rotate(-90)`}
    ).textContent = text;
  });
  makeSvg('rect', svg, {x: edge, width: side, height: side, class: 'frame'});
}

function drawConfusion(parent) {
  const shares = data.models.map(({confusion}) => confusion.map(row => {
    const total = row.reduce((sum, count) => sum + count, 0) || 1;
    return row.map(count => count / total);
  }));
  // the square root makes rare confusions visible
  const mix = (color, share) =>
    `color-mix(in srgb, ${color} ${100 * Math.sqrt(share)}%, white)`;
  data.models.forEach(({title, confusion}, model) =>
    drawMatrix(parent, title, (row, column) => {
      const share = shares[model][row][column];
      return [share && mix('#08306b', share),
        `${confusion[row][column]} (${percent(share)})`];
    }));
  if (shares.length < 2) return;
  drawMatrix(parent, `change from ${data.models[0].title} to `
    + data.models[1].title, (row, column) => {
    const change = shares[1][row][column] - shares[0][row][column];
    const better = (change > 0) === (row === column);
    return [change && mix(better ? '#0072b2' : '#d55e00', Math.abs(change)),
      `${change > 0 ? '+' : ''}${percent(change)}`];
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
    x: index * width, y: size + bars * (1 - share / most),
    width: Math.max(width - 1, width / 2), height: bars * share / most},
  percent(share)));
}

function drawRow(section) {
  const row = make('div', section);
  row.className = 'row';
  return row;
}

const find = id => document.getElementById(id);
const remove = nodes => document.querySelectorAll(nodes).forEach(
  node => node.remove());
remove(data.models.length < 2 ? '.two' : '.one');
const keys = new Set(data.models.flatMap(({curves}) => Object.keys(curves)));
const curveRow = drawRow(find('curves'));
keys.forEach(key => drawCurves(curveRow, key, data.models.flatMap(
  ({title, curves}, index) => curves[key] ? [{
    title, epochs: curves[key][0], values: curves[key][1],
    color: data.colors[data.models.length - 1 - index]}] : [])));
if (!keys.size) find('curves').remove();
drawClasses(find('features'));
const plotRow = drawRow(find('features'));
[true, false].forEach(global => data.models.forEach(
  ({title, features, predictions}) => Object.entries(features).forEach(
    ([name, plot]) => {
      if ((name === 'global') !== global) return;
      drawPlot(plotRow, `${name} features, ${title}`, plot, predictions);
    })));
drawSummary(find('summary'));
drawMeasures(find('measures'));
drawAccuracy(find('accuracy'));
drawConfusion(drawRow(find('confusion')));
drawPairs(find('pairs'));
const row = drawRow(find('attention'));
data.poses.forEach(pose => drawPose(row, pose));
if (!data.poses.length) remove('#attention, .seen');
