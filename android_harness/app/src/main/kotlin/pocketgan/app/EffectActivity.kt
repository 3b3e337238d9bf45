package pocketgan.app

import android.Manifest
import android.app.Activity
import android.app.AlertDialog
import android.content.Intent
import android.content.pm.PackageManager
import android.net.Uri
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.provider.Settings
import android.view.View
import android.view.WindowManager.LayoutParams
import android.widget.Button
import android.widget.TextView
import java.util.Locale
import org.pocketgan.harness.R
import pocketgan.app.camera.Choice
import pocketgan.app.camera.EffectRun
import pocketgan.app.camera.Frames
import pocketgan.app.camera.InstalledEffect
import pocketgan.app.camera.PictureScreen
import pocketgan.app.camera.PictureView
import pocketgan.effects.Effect
import pocketgan.measure.NanoClock

/** Often enough to read, seldom enough to leave the phone to the effect; Android tells its headroom once a second. */
private const val REDRAW_MS = 1000L
private const val PICK = 1
private const val ALLOW = 2
private const val FRONT = "front"
private const val ASKED = "asked"

/** Runs a bundle on what the camera sees, and tells how fast. */
internal class EffectActivity : Activity() {
    private val handler = Handler(Looper.getMainLooper())
    private val redraw = Runnable { drawAgain() }
    private lateinit var installed: InstalledEffect
    private lateinit var conditions: PhoneConditions
    private var effect: Effect? = null
    private var run: EffectRun? = null
    private var isFront = false
    private var isInFront = false

    /** Once: asked again by itself, a phone that was told never to ask answers at once, and so on without end. */
    private var hasAsked = false

    /** The title of what is being opened. */
    private var opening: String? = null

    /** Why it does not run, or is not what was chosen. */
    private var problem: String? = null

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        window.addFlags(LayoutParams.FLAG_KEEP_SCREEN_ON)
        installed = InstalledEffect(this)
        conditions = PhoneConditions(this, NanoClock(System::nanoTime))
        isFront = state?.getBoolean(FRONT) ?: false
        hasAsked = state?.getBoolean(ASKED) ?: false
        setContentView(R.layout.effect)
        findViewById<Button>(R.id.choose).setOnClickListener { choose() }
        findViewById<Button>(R.id.concept).setOnClickListener { chooseConcept() }
        findViewById<Button>(R.id.side).setOnClickListener { turn() }
        findViewById<View>(R.id.message).setOnClickListener { if (!mayUseCamera()) allow() }
        // Turning the phone makes a new activity of the same effect.
        effect = lastNonConfigurationInstance as Effect?
        if (effect == null && installed.title != null) open(null)
    }

    override fun onRetainNonConfigurationInstance(): Any? = effect.also { effect = null }

    override fun onSaveInstanceState(state: Bundle) {
        super.onSaveInstanceState(state)
        state.putBoolean(FRONT, isFront)
        state.putBoolean(ASKED, hasAsked)
    }

    override fun onResume() {
        super.onResume()
        isInFront = true
        if (!mayUseCamera() && !hasAsked) ask()
        drawAgain()
    }

    override fun onPause() {
        isInFront = false
        handler.removeCallbacks(redraw)
        stop()
        super.onPause()
    }

    override fun onDestroy() {
        leave()
        super.onDestroy()
    }

    /** Not on this thread: closing waits for the frame that is under way. */
    private fun leave() {
        val unused = effect ?: return
        effect = null
        Thread { unused.close() }.start()
    }

    override fun onActivityResult(request: Int, result: Int, picked: Intent?) {
        picked?.data?.takeIf { request == PICK && result == RESULT_OK }?.let { open(installed.choice(it)) }
    }

    override fun onRequestPermissionsResult(request: Int, permissions: Array<String>, results: IntArray) = drawAgain()

    private fun choose() {
        val choices = installed.choices()
        val names = choices.map { it.title } + getString(R.string.effect_file)
        AlertDialog.Builder(this)
            .setTitle(R.string.effect_choose)
            .setItems(names.toTypedArray()) { _, item -> choices.getOrNull(item)?.let(::open) ?: pick() }
            .show()
    }

    /** Of a pack: the picture goes on with the last one until the next is there. */
    private fun chooseConcept() {
        val pack = effect ?: return
        AlertDialog.Builder(this)
            .setTitle(R.string.effect_concepts)
            .setItems(pack.concepts.map { it.text }.toTypedArray()) { _, item -> draw(pack, pack.concepts[item].name) }
            .show()
    }

    private fun draw(pack: Effect, concept: String) {
        problem = null
        installed.draw(pack, concept) { why ->
            handler.post {
                if (effect === pack) problem = why
                if (!isDestroyed) drawAgain()
            }
        }
    }

    /** The system's own file picker: no permission for files is needed. */
    private fun pick() {
        val request = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*")
        startActivityForResult(request, PICK)
    }

    private fun turn() {
        stop()
        isFront = !isFront
        drawAgain()
    }

    private fun ask() {
        hasAsked = true
        requestPermissions(arrayOf(Manifest.permission.CAMERA), ALLOW)
    }

    /** Android asks a person twice; after that only the settings can. */
    private fun allow() {
        if (shouldShowRequestPermissionRationale(Manifest.permission.CAMERA)) {
            ask()
        } else {
            startActivity(Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, Uri.fromParts("package", packageName, null)))
        }
    }

    private fun open(choice: Choice?) {
        stop()
        leave()
        problem = null
        opening = choice?.title ?: installed.title
        installed.open(choice) { opened, why -> handler.post { opened(opened, why) } }
        drawAgain()
    }

    private fun opened(now: Effect?, why: String?) {
        if (isDestroyed) {
            now?.close()
            return
        }
        opening = null
        effect = now
        problem = if (now == null) why else why?.let { getString(R.string.effect_kept, it) }
        drawAgain()
    }

    private fun start() {
        val ready = effect ?: return
        if (run != null || !isInFront || !mayUseCamera() || isMeasured()) return
        run = EffectRun(ready, Frames.source(this), screen(findViewById(R.id.picture)), isFront).also { it.start() }
    }

    private fun stop() {
        run?.stop()
        run = null
    }

    private fun drawAgain() {
        handler.removeCallbacks(redraw)
        if (isMeasured()) stop() else start()
        draw()
        if (isInFront) handler.postDelayed(redraw, REDRAW_MS)
    }

    private fun draw() {
        val state = run?.state
        val now = conditions.read()
        text(R.id.title, opening ?: installed.title ?: getString(R.string.effect_none))
        text(R.id.entry, listOfNotNull(effect?.entry, problem).joinToString("\n"))
        text(R.id.concept, getString(R.string.effect_concept, effect?.concept))
        findViewById<View>(R.id.concept).visibility = if (effect?.concepts.isNullOrEmpty()) View.GONE else View.VISIBLE
        text(R.id.side, getString(if (run?.isFront ?: isFront) R.string.effect_to_back else R.string.effect_to_front))
        text(R.id.rate, number("%.1f", state?.perSecond))
        text(R.id.dropped, number("%d", state?.dropped))
        text(R.id.thermal, now.thermalState?.name?.lowercase(Locale.ROOT) ?: getString(R.string.effect_unknown))
        text(R.id.headroom, number("%.2f", now.thermalHeadroom))
        val message = message()
        text(R.id.message, message.orEmpty())
        findViewById<View>(R.id.message).visibility = if (message == null) View.GONE else View.VISIBLE
        findViewById<View>(R.id.overlay).visibility = if (message == null) View.VISIBLE else View.GONE
    }

    /** What stands in the picture's place; null while there is a picture. */
    private fun message(): String? = when {
        isMeasured() -> getString(R.string.effect_measuring)
        !mayUseCamera() -> "${getString(R.string.effect_no_permission)}\n\n${getString(R.string.effect_allow)}"
        opening != null -> getString(R.string.effect_opening, opening)
        effect == null -> problem ?: getString(R.string.effect_none_detail, installed.folder)
        run?.state?.problem != null -> run!!.state.problem
        run == null || run!!.state.shown == 0 -> getString(R.string.effect_starting)
        else -> null
    }

    private fun number(format: String, value: Any?): String =
        if (value == null) getString(R.string.effect_unknown) else String.format(Locale.getDefault(), format, value)

    private fun text(view: Int, text: String) {
        findViewById<TextView>(view).text = text
    }

    private fun mayUseCamera() = checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED

    private fun isMeasured() = Harness.doing is Doing.Measuring || Harness.doing is Doing.Cancelling

    internal companion object {
        /** Where frames are shown; a test has its own, as nothing shows surfaces there. */
        var screen: (PictureView) -> PictureScreen = { it }
    }
}
