// The volume viewer: NiiVue with the scan, its prediction, and the attribution of the chosen class.
"use strict";
(async () => {
  const page = JSON.parse(document.getElementById("viewer-data").textContent);
  const control = (name) => document.getElementById(`viewer-${name}`);
  const [canvas, status] = [control("canvas"), control("position")];
  const explained = document.getElementById("choice-explained");
  const waiting = new Map();
  window.agg2exp = { deliver: (address, volume) => waiting.get(address)(volume) };

  // Pages from a disk may not fetch files; a script may be loaded, and hands over its volume.
  function load(address) {
    return new Promise((resolve, reject) => {
      waiting.set(address, resolve);
      const script = document.createElement("script");
      script.src = document.body.dataset.up + address.split("/").map(encodeURIComponent).join("/");
      script.onerror = () => reject(new Error(`${address} is missing`));
      script.onload = () => script.remove();
      document.head.append(script);
    });
  }

  const image = (volume, name, settings) =>
    niivue.NVImage.loadFromBase64({ base64: volume.nifti, name: `${name}.nii.gz`, ...settings });

  const viewer = new niivue.Niivue({
    backColor: [0, 0, 0, 1], crosshairColor: [0.4, 0.85, 1, 0.8], crosshairWidth: 1, crosshairWidthUnit: "mm", showAllOrientationMarkers: true, isColorbar: false,
    isRadiologicalConvention: true, sagittalNoseLeft: true, multiplanarPadPixels: 14, isOrientCube: false, dragAndDropEnabled: false, loadingText: "",
    multiplanarShowRender: niivue.SHOW_RENDER.ALWAYS, multiplanarLayout: niivue.MULTIPLANAR_TYPE.GRID, logLevel: "error", isNearestInterpolation: false,
    fontColor: [0.9, 0.9, 0.9, 1], is2DSliceShader: true,
  });
  const views = {
    planes: viewer.sliceTypeMultiplanar, axial: viewer.sliceTypeAxial, coronal: viewer.sliceTypeCoronal,
    sagittal: viewer.sliceTypeSagittal, render: viewer.sliceTypeRender,
  };
  const LIMIT = 127;  // of the steps in which attributions are stored
  let attribution = null;
  let thresholds = [];
  let unit = 1;
  let greyStep = 1;
  let turn = 0;

  const chosenClass = () => page.classes.find((one) => one.name === explained.value);

  function tint() {
    const names = page.labels.map((label) => label.name);
    const which = control("tint").value;
    const seen = page.labels.map((label, i) => i > 0 && (which === "all" || (which === "one" && label.name === explained.value)));
    const part = (at) => page.labels.map((label) => parseInt((which === "one" ? page.tint : label.colour).slice(at, at + 2), 16));
    viewer.volumes[1].setColormapLabel({
      R: part(1), G: part(3), B: part(5), A: seen.map((is) => (is ? 255 : 0)),
      I: names.map((_, i) => i), labels: names,
    });
    viewer.updateGLVolume();
  }

  // A colour is that of a value, as in the pictures, wherever the threshold is.
  function colours(stops, from) {
    const at = (share) => {
      const place = share * (stops.length - 1);
      const [low, part] = [Math.min(Math.floor(place), stops.length - 2), place - Math.min(Math.floor(place), stops.length - 2)];
      return stops[low].map((value, i) => Math.round(value + part * (stops[low + 1][i] - value)));
    };
    return Array.from({ length: 16 }, (_, i) => at(from + ((1 - from) * Math.max(0, i - 1)) / 14));
  }

  function learn(name, stops, from) {
    const rgb = colours(stops, from);
    viewer.addColormap(name, {
      R: rgb.map((one) => one[0]), G: rgb.map((one) => one[1]), B: rgb.map((one) => one[2]),
      A: rgb.map((_, i) => (i ? 255 : 0)), I: rgb.map((_, i) => (i ? Math.round(1 + (254 * (i - 1)) / 14) : 0)),
    });
  }

  function strength() {
    const which = control("strongest").value;
    control("scale").hidden = !attribution || which === "";
    if (!attribution) return;
    const from = thresholds[Number(which)] ?? 1;
    attribution.opacity = which === "" ? 0 : Number(control("opacity").value) / 100;
    attribution.cal_min = from;
    attribution.cal_max = Math.max(LIMIT, from + 1);
    attribution.cal_minNeg = -attribution.cal_max;
    attribution.cal_maxNeg = -attribution.cal_min;
    learn("raises", page.colours.raises, from / LIMIT);
    learn("lowers", page.colours.lowers, from / LIMIT);
    drawScale(from / LIMIT);
    viewer.updateGLVolume();
  }

  function drawScale(from) {
    const bar = control("scale-bar").getContext("2d");
    for (let x = 0; x < 256; x++) {
      const share = (2 * x) / 255 - 1;
      const [rgb] = colours(share < 0 ? page.colours.lowers : page.colours.raises, Math.abs(share));
      bar.fillStyle = Math.abs(share) < from ? "rgb(128,128,128)" : `rgb(${rgb.join(",")})`;
      bar.fillRect(x, 0, 1, 1);
    }
    const end = Number((LIMIT * unit).toPrecision(2));
    control("scale-low").textContent = `lowers the class \u2212${end}`;
    control("scale-high").textContent = `+${end} raises it`;
    control("scale-unit").textContent = `${page.unit}; grey: not shown`;
  }

  function grey(width, level) {
    const scan = viewer.volumes[0];
    [scan.cal_min, scan.cal_max] = [(level - width / 2) / greyStep, (level + width / 2) / greyStep];
    control("width").value = String(Math.round(width));
    control("level").value = String(Math.round(level));
    viewer.updateGLVolume();
  }

  function chooseWindow(name) {
    control("window").value = name;
    if (name in page.windows) grey(...page.windows[name]);
    else if (name === "full") {
      const [low, high] = [viewer.volumes[0].global_min * greyStep, viewer.volumes[0].global_max * greyStep];
      grey(high - low, (low + high) / 2);
    }
  }

  function prepareWindows() {
    const names = [...Object.keys(page.windows), "full", "own"];
    for (const name of names) control("window").add(new Option(name === "full" ? "the whole range" : name === "own" ? "as below" : name, name));
    const isHu = Object.keys(page.windows).length > 0;
    for (const one of document.querySelectorAll(".viewer .unit")) one.textContent = `${one.dataset.name}, ${isHu ? "HU" : "greys"}`;
    control("window").addEventListener("change", () => chooseWindow(control("window").value));
    for (const name of ["width", "level"]) {
      control(name).addEventListener("change", () => {
        control("window").value = "own";
        grey(Math.max(1, Number(control("width").value)), Number(control("level").value));
      });
    }
    chooseWindow("mediastinum" in page.windows ? "mediastinum" : "full");
  }

  const MOVES = {
    ArrowLeft: [0, 1], ArrowRight: [0, -1], ArrowUp: [2, 1], ArrowDown: [2, -1], PageUp: [1, 1], PageDown: [1, -1],
  };

  function press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const names = [...Object.keys(page.windows), "full"];
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in MOVES) {
      const [axis, sign] = MOVES[key];  // the patient's right is on the left
      const place = [...viewer.frac2mm(viewer.scene.crosshairPos)].slice(0, 3);
      const [low, high] = page.bounds_mm[axis];
      place[axis] = Math.min(high, Math.max(low, place[axis] + sign * page.step_mm));
      goTo(place);
    } else if (names[Number(key) - 1]) chooseWindow(names[Number(key) - 1]);
    else if (key === "a") toggle("strongest", "", strength);
    else if (key === "p") toggle("tint", "none", tint);
    else if (key === "h") goTo(home());
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  const before = {};
  function toggle(name, off, apply) {
    const list = control(name);
    if (list.value === off) list.value = before[name];
    else [before[name], list.value] = [list.value, off];
    apply();
  }

  function home() {
    const one = chosenClass();
    return (page.first?.name === one.name ? page.first.centre_mm : one.centre_mm) ?? page.centre_mm;
  }

  function goTo(position) {
    viewer.scene.crosshairPos = viewer.mm2frac(position);
    viewer.drawScene();
    viewer.createOnLocationChange();
  }

  async function show() {
    const one = chosenClass();
    const mine = ++turn;
    canvas.dataset.shown = "";
    tint();
    let next = null;
    if (one.address) {
      status.textContent = `Loading the attribution of ${one.title} …`;
      const volume = await load(one.address);
      if (mine !== turn) return;
      [thresholds, unit] = [volume.thresholds, volume.unit];
      next = await image(volume, one.name, {
        colormap: "raises", colormapNegative: "lowers", cal_min: 1, cal_max: LIMIT, cal_minNeg: -LIMIT, cal_maxNeg: -1,
      });
      if (mine !== turn) return;
    }
    if (attribution) viewer.removeVolume(attribution);
    attribution = next;
    if (next) viewer.addVolume(next);
    strength();
    canvas.setAttribute("aria-label", `${page.scan}: scan, prediction and attribution of ${one.title}`);
    goTo(home());
    canvas.dataset.shown = one.name;
  }

  viewer.onLocationChange = ({ mm, values }) => {
    const [right, front, up] = mm;
    const parts = [`R ${right.toFixed(0)}, A ${front.toFixed(0)}, S ${up.toFixed(0)} mm`];
    if (Object.keys(page.windows).length) parts.push(`${Math.round(values[0].value * greyStep)} HU`);
    const label = page.labels[Math.round(values[1]?.value ?? 0)];
    if (label) parts.push(`predicted: ${label.title}`);
    if (values[2]) {
      const value = values[2].value * unit;
      parts.push(value === 0 ? "attribution: not among the strongest" : `attribution: ${Number(value.toPrecision(2))}`);
    }
    status.textContent = parts.join("; ");
    for (const slider of document.querySelectorAll("[data-axis]")) {
      const [low, high] = page.bounds_mm[slider.dataset.axis];
      slider.value = String(Math.round((1000 * (mm[slider.dataset.axis] - low)) / (high - low)));
      slider.ariaValueText = `${mm[slider.dataset.axis].toFixed(0)} mm`;
    }
  };

  try {
    await viewer.attachToCanvas(canvas);
    if (!viewer.gl) throw new Error("this browser has no WebGL 2");
    const scan = await load(page.image);
    greyStep = scan.unit;
    viewer.addVolume(await image(scan, "scan", { colormap: "gray" }));
    viewer.addVolume(await image(await load(page.prediction), "prediction", { opacity: 0.35 }));
    viewer.setSliceType(views.planes);
    learn("raises", page.colours.raises, 0);
    learn("lowers", page.colours.lowers, 0);
    prepareWindows();
    canvas.tabIndex = 0;
    canvas.parentNode.addEventListener("keydown", press, { capture: true });
    explained.addEventListener("change", show);
    control("view").addEventListener("change", () => viewer.setSliceType(views[control("view").value]));
    control("tint").addEventListener("change", tint);
    control("strongest").addEventListener("change", strength);
    control("opacity").addEventListener("input", strength);
    control("home").addEventListener("click", () => goTo(home()));
    for (const slider of document.querySelectorAll("[data-axis]")) {
      slider.addEventListener("input", () => {
        goTo([...document.querySelectorAll("[data-axis]")].map((one) => {
          const [low, high] = page.bounds_mm[one.dataset.axis];
          return low + (Number(one.value) / 1000) * (high - low);
        }));
      });
    }
    await show();
  } catch (error) {
    status.textContent = `No volume to show: ${error.message}. The pictures show the same on three planes.`;
  }
})();
