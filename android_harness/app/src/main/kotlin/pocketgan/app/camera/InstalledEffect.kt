package pocketgan.app.camera

import android.content.Context
import android.database.Cursor
import android.net.Uri
import android.provider.OpenableColumns
import java.io.File
import pocketgan.app.STACK_BYTES
import pocketgan.app.engines
import pocketgan.effects.BundleSource
import pocketgan.effects.Effect
import pocketgan.effects.EffectException
import pocketgan.effects.EffectOptions
import pocketgan.effects.Effects

/** The app's one effect: a new bundle takes the place of the last one. */
private const val NAME = "camera"
private const val TITLE = "title"
private const val CONCEPT = "concept"

/** A bundle that a person can choose. */
internal class Choice(val title: String, val source: BundleSource)

/** What is tried here is unsigned and older at will: it is the developer's own. */
internal class InstalledEffect(private val context: Context) {
    private val preferences = context.getSharedPreferences("effect", Context.MODE_PRIVATE)
    private val effects by lazy {
        Effects(context, engines(), EffectOptions(null, allowUnsigned = true, allowOlder = true))
    }

    /** What the bundle that is installed is called; null if there is none. */
    val title: String? get() = preferences.getString(TITLE, null)

    /** Where adb and file managers put bundles. */
    val folder: File? get() = context.getExternalFilesDir(null)?.resolve("bundles")?.apply { mkdirs() }

    /** The bundles in [folder], by name. */
    fun choices(): List<Choice> = folder?.listFiles { file -> file.name.endsWith(".pgb") }.orEmpty().sortedBy { it.name }
        .map { Choice(it.name.removeSuffix(".pgb"), BundleSource.file(it)) }

    /** What the system's file picker gave. */
    fun choice(picked: Uri) = Choice(nameOf(picked).removeSuffix(".pgb"), BundleSource.uri(context, picked))

    /**
     * Open [choice], or the installed one where it is null, as it was last drawn, on a thread of its own; [then] is told
     * there of the effect or of why there is none.
     */
    fun open(choice: Choice?, then: (Effect?, String?) -> Unit) = work("opening") {
        try {
            val effect = effects.open(NAME, choice?.source, concept.takeIf { choice == null })
            if (choice != null && effect.refused == null) {
                preferences.edit().putString(TITLE, choice.title).remove(CONCEPT).apply()
            }
            then(effect, effect.refused?.message)
        } catch (problem: EffectException) {
            then(null, problem.message)
        }
    }

    /** Have [effect] draw another concept, on a thread of its own; [then] is told there why it cannot, else null. */
    fun draw(effect: Effect, concept: String, then: (String?) -> Unit) = work("switching") {
        try {
            effect.switchTo(concept)
            preferences.edit().putString(CONCEPT, concept).apply()
            then(null)
        } catch (problem: EffectException) {
            then(problem.message)
        }
    }

    private val concept: String? get() = preferences.getString(CONCEPT, null)

    private fun work(name: String, work: () -> Unit) = Thread(null, work, name, STACK_BYTES).start()

    private fun nameOf(picked: Uri): String {
        val columns = arrayOf(OpenableColumns.DISPLAY_NAME)
        val told = context.contentResolver.query(picked, columns, null, null, null)?.use(::first)
        return told ?: picked.lastPathSegment ?: "$picked"
    }

    private fun first(rows: Cursor): String? = if (rows.moveToFirst()) rows.getString(0) else null
}
