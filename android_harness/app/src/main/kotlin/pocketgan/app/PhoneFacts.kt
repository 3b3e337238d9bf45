package pocketgan.app

import android.app.ActivityManager
import android.content.Context
import android.os.Build
import pocketgan.schema.DeviceInfo
import pocketgan.schema.DeviceKind

/** Chips that only emulators have; what they compute with is a computer's. */
private val EMULATED_HARDWARE = setOf("goldfish", "ranchu", "cutf_cvm")

/** What this phone is, in the words that the host uses for it (`bench/devices`); its serial is the host's to know. */
internal fun phoneFacts(context: Context): DeviceInfo {
    val memory = ActivityManager.MemoryInfo()
    context.getSystemService(ActivityManager::class.java).getMemoryInfo(memory)
    val (maker, model) = Build.MANUFACTURER to Build.MODEL
    val fullModel = if (model.startsWith(maker, ignoreCase = true)) model else "$maker $model"
    return DeviceInfo(
        name = "android",
        model = fullModel,
        kind = DeviceKind.ANDROID,
        os = "Android ${Build.VERSION.RELEASE}",
        osBuild = Build.FINGERPRINT,
        cpu = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) chip() else Build.HARDWARE,
        cores = Runtime.getRuntime().availableProcessors().toLong(),
        memoryBytes = memory.totalMem,
        simulated = Build.HARDWARE in EMULATED_HARDWARE,
    )
}

@NewerThanAndroid8
private fun chip(): String =
    if (Build.SOC_MODEL == Build.UNKNOWN) Build.HARDWARE else "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}"
