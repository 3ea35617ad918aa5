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
  let attribution = null;
  let thresholds = [];
  let unit = 1;
  let turn = 0;

  const chosenClass = () => page.classes.find((one) => one.name === explained.value);

  function tint() {
    const names = page.labels.map((label) => label.name);
    const which = control("tint").value;
    const seen = page.labels.map((label, i) => i > 0 && (which === "all" || (which === "one" && label.name === explained.value)));
    const part = (at, one) => page.labels.map((label) => (which === "one" ? one : parseInt(label.colour.slice(at, at + 2), 16)));
    viewer.volumes[1].setColormapLabel({
      R: part(1, 255), G: part(3, 238), B: part(5, 0), A: seen.map((is) => (is ? 255 : 0)),
      I: names.map((_, i) => i), labels: names,
    });
    viewer.updateGLVolume();
  }

  function strength() {
    if (!attribution) return;
    const which = control("strongest").value;
    attribution.opacity = which === "" ? 0 : Number(control("opacity").value) / 100;
    attribution.cal_min = thresholds[Number(which)] ?? 1;
    attribution.cal_max = Math.max(127, attribution.cal_min + 1);
    attribution.cal_minNeg = -attribution.cal_max;
    attribution.cal_maxNeg = -attribution.cal_min;
    viewer.updateGLVolume();
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
        colormap: "warm", colormapNegative: "winter", cal_min: 1, cal_max: 127, cal_minNeg: -127, cal_maxNeg: -1,
      });
      if (mine !== turn) return;
    }
    if (attribution) viewer.removeVolume(attribution);
    attribution = next;
    if (next) viewer.addVolume(next);
    strength();
    canvas.setAttribute("aria-label", `${page.scan}: scan, prediction and attribution of ${one.title}`);
    goTo(one.centre_mm ?? page.centre_mm);
    canvas.dataset.shown = one.name;
  }

  viewer.onLocationChange = ({ mm, values }) => {
    const [right, front, up] = mm;
    const parts = [`R ${right.toFixed(0)}, A ${front.toFixed(0)}, S ${up.toFixed(0)} mm`];
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
    viewer.addVolume(await image(await load(page.image), "scan", { colormap: "gray", cal_min: 0, cal_max: 255 }));
    viewer.addVolume(await image(await load(page.prediction), "prediction", { opacity: 0.35 }));
    viewer.setSliceType(views.planes);
    explained.addEventListener("change", show);
    control("view").addEventListener("change", () => viewer.setSliceType(views[control("view").value]));
    control("tint").addEventListener("change", tint);
    control("strongest").addEventListener("change", strength);
    control("opacity").addEventListener("input", strength);
    control("home").addEventListener("click", () => goTo(chosenClass().centre_mm ?? page.centre_mm));
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
